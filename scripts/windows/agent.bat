@echo off
setlocal enableextensions disabledelayedexpansion
rem Installs, upgrades, removes, restarts and reloads one agent on this machine. Called by the runner as `agent.bat ACTION`;
rem everything else is in `params` beside it. One log line per fact, the exit code says the rest (exit_codes.toml).
rem It never fetches anything, never knows which agent it installs, never touches a service, a task or a file it did not
rem make, and never unpacks over a running program.
rem
rem ACTION is one of install upgrade switch_back uninstall restart reload status.
rem Beside it: common.bat files.bat release.bat service.bat upgrade.bat. A function that fails has said why, and its
rem exit code, in fail, is that of the program.
set "lib=%~dp0"
set "action=%~1"
call "%lib%common.bat" init
set "rundir=%lib:~0,-1%"
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
set "files=call "%lib%files.bat""
set "release=call "%lib%release.bat""
set "service=call "%lib%service.bat""
set "upgrade=call "%lib%upgrade.bat""
set "step=check_env"
call :main
exit /b %errorlevel%

:main
for %%a in (install upgrade switch_back uninstall restart reload status) do if "%action%"=="%%a" goto :known
set "text=action '%action%' is unknown here" & set "fail=38" & goto :die
:known
rem Whoever may read our programs is an administrator; to change something the token has to be whole.
if "%action%"=="status" goto :may
%common% elevated
if errorlevel 1 set "text=only an administrator can do this" & set "fail=22" & goto :die
:may
cd /d "%state%" || exit /b 42
call :read_params || goto :failed
call :heal_link
goto :%action%

:die
rem text, step and fail tell what failed, where, and the exit code.
%say% ERROR %step% FAILED
:failed
exit /b %fail%

rem --- parameters ---

:read_params
for %%k in (run_id task action name version release digest setup_path data_path run_path log_path temp_path stage process service blob form need_kb) do set "p_%%k="
set "p_need_kb=0"
set "p_process=own"
set "p_service=no"
set "dirty="
if not exist "%rundir%\params" set "text=%rundir%\params is missing" & set "fail=20" & goto :die
for /f "usebackq eol=| tokens=1* delims==" %%a in ("%rundir%\params") do set "key=%%a" & set "value=%%b" & call :param
if defined dirty set "text=a quote in '%dirty%'" & set "fail=20" & goto :die
set "name=%p_name%"
set "word=%name%"
%common% is_word
if errorlevel 1 set "text=name '%name%'" & set "fail=20" & goto :die
for /f "delims=abcdefghijklmnopqrstuvwxyz0123456789" %%c in ("a%name:~0,1%") do set "text=name '%name%'" & set "fail=20" & goto :die
for /f "delims=abcdefghijklmnopqrstuvwxyz0123456789._-" %%c in ("a%name%") do set "text=name '%name%'" & set "fail=20" & goto :die
if "%name:~-1%"=="." set "text=name '%name%'" & set "fail=20" & goto :die
for %%k in (task digest) do call :check_word %%k || goto :die
set "number=%p_need_kb%"
%common% is_number
if errorlevel 1 set "text=need_kb '%p_need_kb%'" & set "fail=20" & goto :die
set "need_kb=%number%"
if not "%p_process%"=="own" if not "%p_process%"=="none" set "text=process '%p_process%'" & set "fail=20" & goto :die
if not "%p_service%"=="yes" if not "%p_service%"=="no" set "text=service '%p_service%'" & set "fail=20" & goto :die
for %%k in (setup_path data_path run_path log_path temp_path) do call :trim %%k
set "dir=%p_setup_path%"
%files% guard
if errorlevel 1 set "text=setup path '%p_setup_path%' is refused" & set "fail=23" & goto :die
for %%k in (data_path run_path log_path temp_path stage blob) do call :check_path %%k || goto :die
if not defined p_run_path set "text=run_path is missing" & set "fail=20" & goto :die
if not defined p_log_path set "text=log_path is missing" & set "fail=20" & goto :die
set "home=%p_setup_path%\%name%"
set "dir=%home%"
%files% is_link
if not errorlevel 1 set "text=%home% is a link" & set "fail=23" & goto :die
set "log=%p_log_path%\%name%.log"
set "made=%state%\made"
set "uses=%state%\packages\%name%"
set "kept=%home%\previous"
set "services=%p_stage%"
set "to_release=%p_release%"
exit /b 0

:param
rem A value is data: it is never expanded twice, and a quote, which no path on Windows holds, is refused.
for /f "delims=abcdefghijklmnopqrstuvwxyz_" %%c in ("a%key%") do exit /b 0
setlocal enabledelayedexpansion
set "bare="
if defined value set "bare=!value:"=!"
set "bad="
if not "!bare!"=="!value!" set "bad=yes"
endlocal & set "bad=%bad%"
if defined bad set "dirty=%key%" & exit /b 0
if "%key%"=="config" exit /b 0
set "p_%key%=%value%"
exit /b 0

:check_word
setlocal enabledelayedexpansion
set "word=!p_%1!"
endlocal & set "word=%word%"
if not defined word exit /b 0
%common% is_word
if not errorlevel 1 exit /b 0
set "text=%1 '%word%'" & set "fail=20"
exit /b 1

:trim
setlocal enabledelayedexpansion
set "dir=!p_%1!"
endlocal & set "dir=%dir%"
:trim_more
if not defined dir exit /b 0
if "%dir:~-1%"=="\" if not "%dir:~0,3%"=="%dir%" set "dir=%dir:~0,-1%" & goto :trim_more
set "p_%1=%dir%"
exit /b 0

:check_path
setlocal enabledelayedexpansion
set "dir=!p_%1!"
endlocal & set "dir=%dir%"
if not defined dir exit /b 0
%files% plain
if not errorlevel 1 exit /b 0
set "text=path '%dir%' is refused" & set "fail=23"
exit /b 1

:heal_link
rem The link to the current release cannot be replaced in one step: a run that was killed between the two left a note.
if exist "%home%\current" exit /b 0
set "noted="
if exist "%home%\.switch" for /f "usebackq" %%r in ("%home%\.switch") do set "noted=%%r"
if not defined noted exit /b 0
if exist "%home%\releases\%noted%\" mklink /j "%home%\current" "%home%\releases\%noted%" >nul
exit /b 0

rem --- the actions ---

:install
%release% check_env || goto :failed
%release% unpack_pkg || goto :failed
set "step=remove_agent"
set "text=%name%"
%say% INFO remove_agent START
%service% stop_agent || goto :failed
set "text=nothing of %name% runs"
%say% INFO remove_agent DONE
%release% setup_agent || goto :failed
%service% setup_startup_scripts || goto :failed
%service% start_agent || goto :failed
%service% check_deploy_result || goto :failed
exit /b 0

:upgrade
call :require_installed || goto :failed
%upgrade% upgrade || goto :failed
exit /b 0

:switch_back
call :require_installed || goto :failed
%upgrade% switch_back || goto :failed
exit /b 0

:require_installed
if exist "%home%\current\" exit /b 0
set "text=%home%\current is missing" & set "fail=34" & goto :die

:restart
call :require_installed || goto :failed
if "%p_process%"=="none" goto :restarted
set "step=stop_agent"
set "text=%name%"
%say% INFO stop_agent START
%service% stop_agent || goto :failed
set "text=nothing of %name% runs"
%say% INFO stop_agent DONE
%service% start_agent || goto :failed
:restarted
%service% check_deploy_result || goto :failed
exit /b 0

:reload
call :require_installed || goto :failed
set "step=reload_agent"
set "text=%name%"
%say% INFO reload_agent START
%release% install_files || goto :failed
if "%p_process%"=="none" set "text=its files are in place" & %say% INFO reload_agent DONE & goto :reloaded
%service% running
if errorlevel 1 goto :reload_by_restart
if not exist "%home%\reload.cmd" goto :reload_by_restart
set "MAINPID=%pid%"
cd /d "%home%\current" || goto :reload_by_restart
cmd /d /c ..\reload.cmd <nul
set "code=%errorlevel%"
cd /d "%state%"
if not "%code%"=="0" set "text=the reload command ended with %code%" & set "fail=36" & goto :die
set "text=told %pid%"
%say% INFO reload_agent DONE
:reloaded
%service% check_deploy_result || goto :failed
call :drop_stage
exit /b 0
:reload_by_restart
set "text=by a restart"
%say% INFO reload_agent DONE
call :restart || goto :failed
call :drop_stage
exit /b 0

:drop_stage
rem No cleanup follows a reload. Only now: a run that is lost is started again and needs the files.
if not defined p_stage exit /b 0
set "dir=%p_stage%"
set "base=%state%\stage"
if /i "%dir%"=="%base%" exit /b 0
%common% within && rd /s /q "%p_stage%" 2>nul
exit /b 0

:status
%service% running print
if not errorlevel 1 exit /b 0
set "step=status"
if exist "%home%\current\" set "text=%name% is not running" & set "fail=35" & goto :die
set "text=%home%\current is missing" & set "fail=34" & goto :die

:uninstall
set "step=remove_agent"
set "text=%name% in %p_setup_path%"
%say% INFO remove_agent START
%service% way
if not defined way if not exist "%home%" if not exist "%uses%" set "text=%name% is not installed in %p_setup_path%" & %say% WARN remove_agent -
%service% stop_agent || goto :failed
%service% unregister
if errorlevel 1 set "text=the registration of %name% cannot be removed" & set "fail=31" & goto :die
if exist "%log%" del /f /q "%log%" >nul 2>nul
set "victim=%home%"
if not exist "%home%" goto :home_gone
%files% remove_tree
if errorlevel 1 set "text=%home% cannot be removed" & set "fail=37" & goto :die
:home_gone
for %%k in (data_path log_path run_path) do call :remove_dir %%k
if exist "%uses%" del /f /q "%uses%"
rd "%state%\packages" 2>nul
%files% unmake_dirs
set "text=%name% is gone"
%say% INFO remove_agent DONE
exit /b 0

:remove_dir
rem A directory that was there before us, or serves another package of ours, keeps what is in it.
setlocal enabledelayedexpansion
set "dir=!p_%1!"
endlocal & set "dir=%dir%"
if not defined dir exit /b 0
if not exist "%dir%\" exit /b 0
%files% is_link
if not errorlevel 1 exit /b 0
%files% remembered || exit /b 0
set "victim=%dir%"
%files% shared && exit /b 0
%files% remove_tree
if errorlevel 1 set "text=%victim% stays" & %say% WARN remove_agent -
exit /b 0
