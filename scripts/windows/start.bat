@echo off
setlocal enableextensions disabledelayedexpansion
rem Takes in a run: makes runs\RUN_ID, and starts its runner outside of the job that ends with the connection.
rem It never starts a run id twice, and never works itself but where nothing else is left ("held").
rem
rem   start.bat RUN_ID ACTION TASK EPOCH DEADLINE_S     answers attached, started, or held before the run itself
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
call :main %*
exit /b %errorlevel%

:fail
echo @@lf:fail=%fail%@@
exit /b 1

:main
if "%~5"=="" set "fail=bad_argument 5 arguments expected" & goto :fail
if not "%~6"=="" set "fail=bad_argument 5 arguments expected" & goto :fail
for %%w in (%1 %2 %3) do set "word=%%~w" & call :is_word || goto :fail
for %%w in (%4 %5) do set "number=%%~w" & call :is_number || goto :fail
set "run_id=%1"
set "run=%state%\runs\%run_id%"
set "stage=%state%\stage\%run_id%"
cd /d "%state%" || goto :refused
md "%state%\runs" 2>nul
md "%run%" 2>nul || goto :there
rem The session may die at any moment from here on: what is started twice finds the directory, and starts nothing.
if not exist "%stage%\params" goto :no_params
move /y "%stage%\params" "%run%\params" >nul || goto :unwritable
rd /s /q "%stage%" 2>nul
for %%f in (agent common files release service upgrade boot runner) do copy /y /b "%lib%%%f.bat" "%run%\%%f.bat" >nul || goto :unwritable
%common% boot
>"%run%\boot" echo %boot%|| goto :unwritable
type nul >"%run%\log" || goto :unwritable
set "tries=0"
:note
set /a "tries+=1"
(>>"%state%\history.log" echo run START %run_id%) 2>nul && goto :noted
rem Another start writes to it at this moment.
if %tries% geq 10 goto :unwritable
ping -n 2 127.0.0.1 >nul
goto :note
:noted
set "runner=%run%\runner.bat"
if not "%runner: =%"=="%runner%" for %%f in ("%runner%") do set "runner=%%~sf"
set "LANDFALL_LINE=%SystemRoot%\System32\cmd.exe /d /c %runner% main %*"
call :by_powershell && goto :started
call :by_wmic && goto :started
call :by_task %* && goto :started
rem Nothing gets out of this session: the run is part of it, and the executor keeps it open.
echo @@lf:held@@
%LANDFALL_LINE% <nul
exit /b 0
:started
echo @@lf:started@@
exit /b 0
:there
if not exist "%run%\" goto :refused
rd /s /q "%stage%" 2>nul
echo @@lf:attached@@
exit /b 0
:refused
set "fail=state_refused %run% cannot be made" & goto :fail
:no_params
rd "%run%" 2>nul
set "fail=bad_argument stage\%run_id%\params is missing" & goto :fail
:unwritable
rd /s /q "%run%" 2>nul
set "fail=write_failed %run%" & goto :fail

:is_word
%common% is_word
if not errorlevel 1 exit /b 0
set "fail=bad_argument '%word%'"
exit /b 1

:is_number
%common% is_number
if not errorlevel 1 exit /b 0
set "fail=bad_argument '%number%' is no number"
exit /b 1

rem Each way counts only when the runner was seen to begin. It may begin late: the claim lets one in.

:begun
for /l %%i in (1,1,10) do call :not_begun && ping -n 2 127.0.0.1 >nul
call :not_begun && exit /b 1
exit /b 0

:not_begun
if exist "%run%\claim\" exit /b 1
exit /b 0

:by_powershell
if not exist "%sys%\WindowsPowerShell\v1.0\powershell.exe" exit /b 1
powershell -NoProfile -NonInteractive -Command "$r = Invoke-WmiMethod -Class Win32_Process -Name Create -ArgumentList $env:LANDFALL_LINE; if ($r -and $r.ReturnValue -eq 0) { exit 0 } else { exit 1 }" <nul >nul 2>nul
if not "%errorlevel%"=="0" exit /b 1
call :begun || exit /b 1
exit /b 0

:by_wmic
if not exist "%sys%\wbem\wmic.exe" exit /b 1
wmic process call create "%LANDFALL_LINE%" <nul >nul 2>nul
if not "%errorlevel%"=="0" exit /b 1
call :begun || exit /b 1
exit /b 0

:by_task
set "task=\landfall\run-%1"
rem Of the command line it takes 261 characters.
>"%run%\go.cmd" echo @%LANDFALL_LINE%
schtasks /create /tn "%task%" /tr "%run%\go.cmd" /sc once /st 00:00 /ru SYSTEM /rl highest /f <nul >nul 2>nul
if not "%errorlevel%"=="0" exit /b 1
type nul >"%run%\by_task"
schtasks /run /tn "%task%" <nul >nul 2>nul
if errorlevel 1 call :no_task & exit /b 1
call :begun
if errorlevel 1 call :no_task & exit /b 1
rem The runner takes the task away when it is through.
exit /b 0

:no_task
schtasks /delete /tn "%task%" /f <nul >nul 2>nul
if exist "%run%\by_task" del /f /q "%run%\by_task"
exit /b 0
