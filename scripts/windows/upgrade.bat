@echo off
rem Upgrades the agent, and switches back to the release before: the new one comes beside the old, with the configuration
rem files of the old; what starts the old one is kept in `previous` until the next upgrade.
rem It never writes into the old release, and never touches data.
rem
rem   call upgrade.bat FUNCTION     a part of agent.bat: values come in variables, no setlocal, its caller needs what it sets
goto :do_%1

:die
%say% ERROR %step% FAILED
:failed
exit /b %fail%

:do_upgrade
%release% check_env || goto :failed
%release% unpack_pkg || goto :failed
set "step=setup_agent"
call :is_as_wanted
if errorlevel 1 goto :upgrade_it
set "text=%to_release% runs already and is left alone"
%say% INFO setup_agent DONE
goto :upgraded
:upgrade_it
call :keep_previous || goto :failed
set "each=carry_over"
%release% each_config || goto :failed
set "step=stop_agent"
set "text=%name%"
%say% INFO stop_agent START
%service% stop_agent || goto :failed
set "text=nothing of %name% runs"
%say% INFO stop_agent DONE
set "step=setup_agent"
set "text=%home%"
%say% INFO setup_agent START
%release% make_paths || goto :failed
%release% link_current || goto :failed
set "other="
for /f "usebackq" %%r in ("%kept%\release") do set "other=%%r"
%release% prune_releases
%release% install_services || goto :failed
set "text=current is %to_release%"
%say% INFO setup_agent DONE
%service% setup_startup_scripts || goto :failed
%service% start_agent || goto :failed
:upgraded
%service% check_deploy_result || goto :failed
exit /b 0

:do_switch_back
rem Also after an upgrade that was broken off anywhere, and after a way back that was.
set "step=switch_back"
%release% current_release
set "to_release=%current%"
call :is_kept
if errorlevel 1 goto :nothing_kept
for /f "usebackq" %%r in ("%kept%\release") do set "to_release=%%r"
set "services=%kept%"
if not exist "%home%\releases\%to_release%\" set "text=the release %to_release% is gone" & set "fail=30" & goto :die
:nothing_kept
set "text=to %to_release%"
%say% INFO switch_back START
call :is_as_wanted
if not errorlevel 1 set "text=%to_release% runs, nothing was switched" & %say% INFO switch_back DONE & goto :back
call :is_kept
if not errorlevel 1 goto :go_back
set "text=%to_release% was never left, and does not run"
%say% INFO switch_back DONE
%service% start_agent || goto :failed
goto :back
:go_back
%service% stop_agent || goto :failed
%release% install_services || goto :failed
%release% link_current || goto :failed
set "text=current is %to_release%"
%say% INFO switch_back DONE
%service% setup_startup_scripts || goto :failed
%service% start_agent || goto :failed
:back
%service% check_deploy_result || goto :failed
rem First the mark: half of the directory must not be gone back to.
if exist "%kept%\task" del /f /q "%kept%\task" >nul 2>nul
set "victim=%kept%"
if exist "%kept%\" %files% remove_tree
exit /b 0

:is_as_wanted
rem Does this release run, started by these very files? Without any to compare with, does it run?
%release% current_release
if not "%current%"=="%to_release%" exit /b 1
%service% running || exit /b 1
if not "%action%"=="switch_back" goto :compare
call :is_kept || exit /b 0
:compare
for %%f in (start.cmd stop.cmd reload.cmd health.cmd image landfall.toml) do call :same_file %%f || exit /b 1
exit /b 0

:same_file
set "from=%services%\%1"
set "to=%home%\%1"
%files% same || exit /b 1
exit /b 0

:is_kept
rem Did this task keep what it found? Whatever else is in `previous` is of an earlier upgrade.
set "whose="
if exist "%kept%\task" for /f "usebackq" %%t in ("%kept%\task") do set "whose=%%t"
if not defined p_task exit /b 1
if "%whose%"=="%p_task%" exit /b 0
exit /b 1

:keep_previous
rem Once a task: a try that goes on where another broke off finds files of both releases, and must not keep those.
call :is_kept && exit /b 0
set "new=%home%\.previous-new"
set "victim=%new%"
if exist "%new%" %files% remove_tree
%release% current_release
md "%new%" 2>nul
>"%new%\release" echo %current%|| goto :not_kept
for %%f in (start.cmd stop.cmd reload.cmd health.cmd image landfall.toml) do call :keep_file %%f || goto :not_kept
>"%new%\task" echo %p_task%|| goto :not_kept
set "victim=%kept%"
if exist "%kept%" %files% remove_tree
if exist "%kept%" goto :not_kept
set "from=%new%"
set "to=previous"
%files% rename || goto :not_kept
exit /b 0
:not_kept
set "text=%kept% cannot be written" & set "fail=30" & goto :no_room

:no_room
set "dir=%p_setup_path%"
%common% free_kb
if %free_kb% lss 64 set "text=%text%: %free_kb% kB free" & set "fail=21"
goto :die

:keep_file
if not exist "%home%\%1" exit /b 0
copy /y /b "%home%\%1" "%new%\%1" >nul || exit /b 1
exit /b 0

:do_carry_over
rem The file of the old release as it is now; a rendered one only where there is none. Once the new release is current its
rem files are its own.
%release% current_release
if "%current%"=="%to_release%" goto :already_current
if not exist "%home%\releases\%current%\%name_in%" goto :rendered
set "from=%home%\releases\%current%\%name_in%"
%files% put_file
if errorlevel 1 set "text=config %name_in%" & set "fail=30" & goto :no_room
set "text=%name_in% is that of %current%"
%say% INFO setup_agent -
exit /b 0
:already_current
if exist "%to%" exit /b 0
:rendered
%release% put_rendered || goto :failed
exit /b 0
