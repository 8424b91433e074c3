@echo off
rem The files of an agent: looks whether it can go where it shall, unpacks it beside what runs, switches to it.
rem It never writes into a release that is whole, and never fetches anything.
rem
rem   call release.bat FUNCTION     a part of agent.bat: values come in variables, no setlocal, its caller needs what it sets
goto :do_%1

:die
%say% ERROR %step% FAILED
:failed
exit /b %fail%

:no_room
rem A write failed: below one block for each of a few files it was the room.
set "dir=%p_setup_path%"
%common% free_kb
if %free_kb% lss 64 set "text=%text%: %free_kb% kB free" & set "fail=21"
goto :die

rem --- check_env ---

:do_check_env
set "step=check_env"
set "text=%name% %p_release% in %p_setup_path%"
%say% INFO check_env START
set "word=%p_release%"
call :is_release || goto :bad_release
if "%p_form%"=="gzip" goto :look_for_tar
if "%p_form%"=="tar" goto :look_for_tar
if "%p_form%"=="tree" goto :form_known
set "text=form '%p_form%'" & set "fail=20" & goto :die
:bad_release
set "text=release '%p_release%'" & set "fail=20" & goto :die
:look_for_tar
if not exist "%sys%\tar.exe" set "text=tar is not on the machine" & set "fail=24" & goto :die
:form_known
call :do_is_unpacked
if not errorlevel 1 goto :blob_known
if not defined p_blob set "text=no package is named" & set "fail=20" & goto :die
if "%p_form%"=="tree" if not exist "%p_blob%\" if exist "%p_blob%.tree\" set "p_blob=%p_blob%.tree"
if "%p_form%"=="tree" if not exist "%p_blob%\" set "text=%p_blob% is missing" & set "fail=27" & goto :die
if not exist "%p_blob%" set "text=%p_blob% is missing" & set "fail=27" & goto :die
:blob_known
if not defined p_stage set "text=stage directory '' is missing" & set "fail=20" & goto :die
if not exist "%p_stage%\" set "text=stage directory '%p_stage%' is missing" & set "fail=20" & goto :die
%service% check_foreign || goto :failed
set "dir=%p_setup_path%"
%common% free_kb
if %free_kb% geq %need_kb% goto :enough
call :do_is_unpacked
if errorlevel 1 set "text=%p_setup_path% has %free_kb% kB free, %need_kb% kB are needed" & set "fail=21" & goto :die
:enough
set "enough=%free_kb%"
set "dir=%home%"
%files% take_over
%files% make_dir
if errorlevel 1 goto :unwritable
set "probe=%home%\.landfall-probe.cmd"
>"%probe%" echo @exit /b 0 || goto :unwritable
cd /d "%home%" || goto :unwritable
cmd /d /c .landfall-probe.cmd <nul
if errorlevel 1 cd /d "%state%" & set "text=nothing can be run from %p_setup_path%" & set "fail=26" & goto :die
cd /d "%state%"
del /f /q "%probe%" >nul 2>nul
set "text=%enough% kB free"
%say% INFO check_env DONE
exit /b 0

:unwritable
set "text=%home% cannot be written" & set "fail=25" & goto :no_room

:is_release
if not defined word exit /b 1
for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" %%c in ("a%word:~0,1%") do exit /b 1
for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+~-" %%c in ("a%word%") do exit /b 1
if "%word:~-1%"=="." exit /b 1
exit /b 0

rem --- unpack_pkg ---

:do_is_unpacked
rem Is this very release there already, and whole?
set "target=%home%\releases\%p_release%"
set "digest_file=%home%\releases\.%p_release%.digest"
set "there="
if not exist "%target%\" exit /b 1
if not defined p_digest exit /b 1
if not exist "%digest_file%" exit /b 1
for /f "usebackq tokens=1" %%d in ("%digest_file%") do set "there=%%d"
if "%there%"=="%p_digest%" exit /b 0
exit /b 1

:do_unpack_pkg
set "step=unpack_pkg"
set "text=%p_blob%"
%say% INFO unpack_pkg START
call :remove_leftovers
call :do_is_unpacked
if not errorlevel 1 set "text=%target% is there already" & %say% INFO unpack_pkg DONE & exit /b 0
set "new=%home%\releases\.new-%p_release%"
md "%new%" 2>nul
if not exist "%new%\" set "text=%new% cannot be made" & set "fail=30" & goto :no_room
call :expand
if errorlevel 1 goto :broken
set "any="
pushd "%new%" || goto :unpack_unwritable
for /d %%d in (*) do set "any=yes"
for %%f in (*) do set "any=yes"
popd
if not defined any set "text=%p_blob% is empty" & set "fail=28" & goto :die
rem Its name inside: through the link it tells which release is the current one, in every language.
>"%new%\.landfall" echo %p_release%|| goto :unpack_unwritable
if exist "%digest_file%" del /f /q "%digest_file%"
if not exist "%target%\" goto :name_it
rem The running program keeps its files: they are moved aside, not overwritten. A directory of running programs cannot be.
set "from=%target%"
set "to=.old-%p_release%"
ren "%from%" "%to%" >nul 2>nul && goto :name_it
set "text=%target% is in use and has other content: %name% is stopped for it"
%say% WARN unpack_pkg -
%service% stop_agent || goto :failed
%files% rename
if errorlevel 1 set "text=%target% cannot be moved aside" & set "fail=30" & goto :die
:name_it
set "from=%new%"
set "to=%p_release%"
%files% rename
if errorlevel 1 goto :unpack_unwritable
>"%digest_file%.new" echo %p_digest%|| goto :unpack_unwritable
move /y "%digest_file%.new" "%digest_file%" >nul || goto :unpack_unwritable
set "text=%target%"
%say% INFO unpack_pkg DONE
exit /b 0

:unpack_unwritable
set "text=%target% cannot be written" & set "fail=30" & goto :no_room

:broken
rem The room is looked at before the half of a tree goes away.
set "dir=%p_setup_path%"
%common% free_kb
set "victim=%new%"
%files% remove_tree
if %free_kb% lss 64 set "text=%p_setup_path% had %free_kb% kB left" & set "fail=21" & goto :die
set "text=%p_blob% cannot be unpacked as %p_form%" & set "fail=28" & goto :die

:expand
rem In the directory itself: the arguments are names below the state directory, whatever the setup path holds.
cd /d "%new%" || exit /b 1
if "%p_form%"=="tree" "%sys%\xcopy.exe" "%p_blob%" . /e /i /q /h /r /y >nul <nul
if not "%p_form%"=="tree" "%sys%\tar.exe" -xf "%p_blob%" <nul
set "code=%errorlevel%"
cd /d "%state%"
if not "%code%"=="0" exit /b 1
exit /b 0

:remove_leftovers
if not exist "%home%\releases\" exit /b 0
pushd "%home%\releases" || exit /b 0
for /d %%d in (.new-* .old-*) do set "victim=%home%\releases\%%d" & %files% remove_tree
popd
exit /b 0

rem --- setup_agent ---

:do_setup_agent
set "step=setup_agent"
set "text=%home%"
%say% INFO setup_agent START
call :do_make_paths || goto :failed
call :do_link_current || goto :failed
set "other=%previous%"
call :do_prune_releases
call :do_install_files || goto :failed
call :remove_leftovers
rem Nothing of an earlier upgrade is gone back to from here.
set "victim=%kept%"
if exist "%kept%\" %files% remove_tree
set "text=current is %to_release%"
%say% INFO setup_agent DONE
exit /b 0

:do_make_paths
for %%k in (data_path run_path log_path temp_path) do call :make_one %%k || goto :failed
md "%state%\packages" 2>nul
set "bad="
if exist "%uses%.new" del /f /q "%uses%.new"
set "dir=%home%"
call :add_use || set "bad=yes"
for %%k in (data_path run_path log_path) do if defined p_%%k call :add_path %%k || set "bad=yes"
move /y "%uses%.new" "%uses%" >nul || set "bad=yes"
if defined bad set "text=%uses% cannot be written" & set "fail=30" & goto :no_room
exit /b 0

:add_path
setlocal enabledelayedexpansion
set "dir=!p_%1!"
endlocal & set "dir=%dir%"
:add_use
setlocal enabledelayedexpansion
>>"!uses!.new" echo !dir!|| exit /b 1
exit /b 0

:make_one
setlocal enabledelayedexpansion
set "dir=!p_%1!"
endlocal & set "dir=%dir%"
if not defined dir exit /b 0
if exist "%dir%\" exit /b 0
%files% make_dir
if errorlevel 1 set "text=%dir% cannot be made" & set "fail=30" & goto :no_room
exit /b 0

:do_current_release
rem current: the release that the link leads to, empty without one
set "current="
if exist "%home%\current\.landfall" for /f "usebackq" %%r in ("%home%\current\.landfall") do set "current=%%r"
exit /b 0

:do_link_current
rem Sets previous. rd and mklink are two steps: the note says where the link shall lead, should the second never come.
call :do_current_release
set "previous=%current%"
if "%current%"=="%to_release%" exit /b 0
>"%home%\.switch" echo %to_release%|| goto :not_linked
rd "%home%\current" >nul 2>nul
if exist "%home%\current" goto :no_link
mklink /j "%home%\current" "%home%\releases\%to_release%" >nul
if not exist "%home%\current\.landfall" goto :not_linked
del /f /q "%home%\.switch" >nul 2>nul
exit /b 0
:no_link
set "text=%home%\current is no link, or in use" & set "fail=30" & goto :die
:not_linked
set "text=%home%\current cannot be switched" & set "fail=30" & goto :no_room

:do_prune_releases
rem The release in other stays beside this one, to go back to.
if not defined other exit /b 0
if "%other%"=="%to_release%" exit /b 0
pushd "%home%\releases" || exit /b 0
for /d %%d in (*) do set "one=%%d" & call :prune_one
popd
exit /b 0

:prune_one
if "%one%"=="%to_release%" exit /b 0
if "%one%"=="%other%" exit /b 0
if "%one:~0,1%"=="." exit /b 0
set "victim=%home%\releases\%one%"
%files% remove_tree && del /f /q "%home%\releases\.%one%.digest" >nul 2>nul
exit /b 0

rem --- rendered files ---

:do_install_files
rem The configurations go into the release, the scripts beside it. Without a stage directory everything stays as it is.
if defined p_stage if exist "%p_stage%\" goto :staged
set "any="
for /f "usebackq tokens=1 delims==" %%a in ("%rundir%\params") do if "%%a"=="config" set "any=yes"
if not defined any exit /b 0
set "text=stage directory '%p_stage%' is missing" & set "fail=20" & goto :die
:staged
if "%action%"=="reload" call :do_current_release
if "%action%"=="reload" if defined current set "to_release=%current%"
set "each=put_rendered"
call :do_each_config || goto :failed
call :do_install_services || goto :failed
exit /b 0

:do_each_config
rem Does what each says with every configuration file of the package: mode, path (its name below the release).
set "config_code=0"
for /f "usebackq eol=| tokens=1* delims==" %%a in ("%rundir%\params") do if "%%a"=="config" set "line=%%b" & call :one_config
exit /b %config_code%

:one_config
if not "%config_code%"=="0" exit /b %config_code%
set "mode="
set "name_in="
for /f "tokens=1* delims= " %%a in ("%line%") do set "mode=%%a" & set "name_in=%%b"
if not defined mode set "text=mode of config '%line%'" & set "fail=20" & goto :bad_config
for /f "delims=01234567" %%c in ("0%mode%") do set "text=mode of config '%line%'" & set "fail=20" & goto :bad_config
if not defined name_in set "text=config '%line%' is refused" & set "fail=23" & goto :bad_config
set "name_in=%name_in:/=\%"
set "dir=%home%\%name_in%"
%files% plain
if errorlevel 1 set "text=config '%name_in%' is refused" & set "fail=23" & goto :bad_config
set "to=%home%\releases\%to_release%\%name_in%"
if "%each%"=="carry_over" %upgrade% carry_over || goto :config_failed
if "%each%"=="put_rendered" call :put_rendered || goto :config_failed
exit /b 0
:bad_config
%say% ERROR %step% FAILED
set "config_code=%fail%"
exit /b %fail%
:config_failed
set "config_code=%fail%"
exit /b %fail%

:do_put_rendered
:put_rendered
set "from=%p_stage%\config\%name_in%"
%files% put_file
if errorlevel 1 set "text=config %name_in%" & set "fail=30" & goto :no_room
exit /b 0

:do_install_services
rem What starts and stops the agent, and says what is installed. What the package no longer has goes away.
for %%f in (start.cmd stop.cmd reload.cmd health.cmd image landfall.toml) do call :one_service %%f || goto :failed
if "%p_process%"=="none" exit /b 0
if exist "%home%\image" exit /b 0
if not "%action%"=="switch_back" if "%p_service%"=="yes" set "text=image is missing in %services%" & set "fail=20" & goto :die
if not exist "%home%\start.cmd" set "text=start.cmd is missing in %services%" & set "fail=20" & goto :die
exit /b 0

:one_service
set "from=%services%\%1"
set "to=%home%\%1"
set "mode=755"
if "%1"=="landfall.toml" set "mode=600"
if not exist "%from%" goto :not_there
%files% put_file
if errorlevel 1 set "text=%to% cannot be written" & set "fail=30" & goto :no_room
exit /b 0
:not_there
if "%1"=="landfall.toml" exit /b 0
if exist "%to%" del /f /q "%to%" >nul 2>nul
exit /b 0
