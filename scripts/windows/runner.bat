@echo off
setlocal enableextensions disabledelayedexpansion
rem Runs the agent script of one run apart from the session that brought it: own log, own exit file, one at a time.
rem It never starts a run id twice, never lets two runs work on one machine at once, and knows nothing of packages.
rem
rem   runner.bat main RUN_ID ACTION TASK EPOCH DEADLINE_S
rem
rem Who lives is told by these very words in its command line.
set "EXIT_HOST_BUSY=40"
set "EXIT_STALE_EPOCH=41"
set "EXIT_STATE_FAILED=42"
set "keep_runs=20"
set "lib=%~dp0"
if not "%~1"=="main" exit /b 38
if "%~6"=="" exit /b 20
set "run_id=%~2"
set "action=%~3"
set "task=%~4"
set "epoch=%~5"
set "deadline=%~6"
set "run=%lib:~0,-1%"
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
md "%run%\claim" 2>nul || exit /b 0
call :main >>"%run%\log" 2>&1 <nul
exit /b 0

:main
call "%lib%common.bat" init
cd /d "%state%"
set "step=lock"
set "held="
set "boot="
if not exist "%run%\boot" %common% boot
if not defined boot for /f "usebackq delims=" %%b in ("%run%\boot") do set "boot=%%b"
call :take_lock
if errorlevel 1 goto :finish_with
call :prune_runs
rem A cmd of its own: whatever ends that, this one writes the exit code.
rem It carries the run id, too: should we be ended alone, it still is a run that lives.
cmd /d /s /c ""%%run%%\agent.bat" %action% main %run_id% end" <nul
set "code=%errorlevel%"
call :release_lock
:finish_with
rem The exit file comes whole or not at all. A full disk may have room a moment later.
for /l %%i in (1,1,5) do call :write_exit %%i || goto :written
:written
if exist "%run%\by_task" schtasks /delete /tn "\landfall\run-%run_id%" /f >nul 2>nul <nul
exit /b 0

:write_exit
rem Fails when it is done.
if %1 gtr 1 ping -n 2 127.0.0.1 >nul
>"%run%\exit.new" echo %code%|| exit /b 0
move /y "%run%\exit.new" "%run%\exit" >nul 2>nul || exit /b 0
exit /b 1

rem --- the lock: a directory that is made aside, its owner in it, and gets its name by one rename ---

:take_lock
set "mine=%state%\lock.%run_id%"
set "named="
set "failures=0"
set "waited=0"
set "looks=0"
set "since=%time: =0%"
rd /s /q "%mine%" 2>nul
md "%mine%" 2>nul
>"%mine%\owner" echo %run_id% %task% %epoch% %boot%|| goto :lock_failed
:try_lock
if exist "%state%\lock\" goto :look
ren "%mine%" lock >nul 2>nul && goto :locked
if exist "%state%\lock\" goto :look
set /a "failures+=1"
if %failures% geq 5 goto :lock_failed
ping -n 2 127.0.0.1 >nul
goto :try_lock
:look
call :may_take
if "%verdict%"=="take" goto :break_lock
if "%verdict%"=="stale" set "text=epoch %epoch% is older than %holder_epoch% of %holder%" & set "code=%EXIT_STALE_EPOCH%" & goto :no_lock
call :waited
if %waited% geq %deadline% set "text=the host is held by %holder%" & set "code=%EXIT_HOST_BUSY%" & goto :no_lock
set "text=waiting for %holder%"
if not "%named%"=="%holder%" %say% INFO lock -
set "named=%holder%"
ping -n 2 127.0.0.1 >nul
goto :try_lock
:break_lock
rem One of two wins the rename. Should it have got a younger lock than the one that was judged, it gives that back.
set "dead=lock.%run_id%.dead"
rd /s /q "%state%\%dead%" 2>nul
ren "%state%\lock" "%dead%" >nul 2>nul || goto :busy_lock
set "judged=%holder%"
set "owner_file=%state%\%dead%\owner"
call :read_owner
if not "%holder%"=="%judged%" ren "%state%\%dead%" lock >nul 2>nul
rd /s /q "%state%\%dead%" 2>nul
goto :try_lock
:busy_lock
ping -n 2 127.0.0.1 >nul
set /a "failures+=1"
if %failures% geq 30 goto :lock_failed
goto :try_lock
:locked
set "held=yes"
exit /b 0
:lock_failed
set "text=%mine% cannot be written" & set "code=%EXIT_STATE_FAILED%"
:no_lock
%say% ERROR lock FAILED
rd /s /q "%mine%" 2>nul
exit /b 1

:waited
rem Seconds since we came, by the clock; a waiter counts its looks where the clock shows no seconds.
set "clock=%time: =0%"
set /a "looks+=1"
if "%clock:~0,6%"=="%clock%" set "waited=%looks%" & exit /b 0
set /a "waited=((1%clock:~0,2%-100)*3600+(1%clock:~3,2%-100)*60+1%clock:~6,2%-100)-((1%since:~0,2%-100)*3600+(1%since:~3,2%-100)*60+1%since:~6,2%-100)"
if %waited% lss 0 set /a "waited+=86400"
if %waited% lss %looks% set "waited=%looks%"
exit /b 0

:read_owner
set "holder="
set "holder_task="
set "holder_epoch="
set "holder_boot="
if exist "%owner_file%" for /f "usebackq tokens=1-4" %%a in ("%owner_file%") do set "holder=%%a" & set "holder_task=%%b" & set "holder_epoch=%%c" & set "holder_boot=%%d"
exit /b 0

:may_take
rem verdict: take (no owner, a dead one, another boot), stale (a later claim of our own task was here), or wait
set "owner_file=%state%\lock\owner"
call :read_owner
set "verdict=take"
if not exist "%state%\lock\" exit /b 0
rem Empty after a power cut: no owner can be alive then.
if not defined holder_boot exit /b 0
if "%holder_task%"=="%task%" if %holder_epoch% gtr %epoch% set "verdict=stale" & exit /b 0
if not "%holder_boot%"=="%boot%" exit /b 0
if "%holder%"=="%run_id%" exit /b 0
rem A run with an exit file is over.
if exist "%state%\runs\%holder%\exit" exit /b 0
set "mark=main %holder% "
%common% pids
if not defined listed set "verdict=wait" & exit /b 0
if defined pids set "verdict=wait"
exit /b 0

:release_lock
rem Somebody who held us for dead may have gone on; the lock is then no longer ours.
if not defined held exit /b 0
set "held="
for /l %%i in (1,1,5) do call :give_back %%i || exit /b 0
exit /b 0

:give_back
rem Fails when it is done.
if %1 gtr 1 ping -n 2 127.0.0.1 >nul
set "owner_file=%state%\lock\owner"
call :read_owner
if not "%holder%"=="%run_id%" exit /b 1
rd /s /q "%mine%" 2>nul
ren "%state%\lock" "lock.%run_id%" >nul 2>nul || exit /b 0
rd /s /q "%mine%" 2>nul
exit /b 1

:prune_runs
rem Not every job kind ends with a cleanup, which keeps fewer.
%common% prune_runs
for /d %%d in (lock.*) do set "one=%%d" & call :prune_lock
exit /b 0

:prune_lock
rem What a killed run left of its way to the lock.
set "one=%one:~5%"
if "%one:~-5%"==".dead" set "one=%one:~0,-5%"
if "%one%"=="%run_id%" exit /b 0
if exist "%state%\runs\%one%\" if not exist "%state%\runs\%one%\exit" exit /b 0
rd /s /q "%state%\lock.%one%" 2>nul
rd /s /q "%state%\lock.%one%.dead" 2>nul
exit /b 0
