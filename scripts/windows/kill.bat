@echo off
setlocal enableextensions disabledelayedexpansion
rem Ends a run and whatever it started.
rem It never touches a process that does not carry the run id, and no agent: those are nobody's children.
rem
rem   kill.bat RUN_ID     answers killed, gone, or alive
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
set "word=%~1"
%common% is_word
if errorlevel 1 echo @@lf:fail=bad_argument run id@@& exit /b 1
set "run_id=%word%"
set "run=%state%\runs\%run_id%"
set "mark=main %run_id% "
md "%state%\runs" 2>nul
rem A start that is still on its way finds the directory, and starts nothing.
md "%run%" 2>nul || goto :there
md "%run%\claim" 2>nul
%common% boot
>"%run%\boot" echo %boot%
>"%run%\exit" echo 143
goto :gone
:there
if not exist "%run%\" echo @@lf:fail=state_refused %run%@@& exit /b 1
if exist "%run%\exit" goto :end_rest
rem Not begun yet: whoever makes this directory first decides whether it ever will.
md "%run%\claim" 2>nul && goto :never_begun
:end_rest
%common% pids
if not defined pids goto :none_there
%common% kill
if not errorlevel 1 goto :killed
echo @@lf:alive@@
exit /b 0
:none_there
if not defined listed echo @@lf:alive@@& exit /b 0
goto :gone
:never_begun
>"%run%\exit" echo 143
%common% pids
if defined pids %common% kill
:gone
echo @@lf:gone@@
exit /b 0
:killed
rem It could not give the lock back. Its own dead name frees it: nobody else renames what is not theirs.
set "holder="
if exist "%state%\lock\owner" for /f "usebackq tokens=1" %%a in ("%state%\lock\owner") do set "holder=%%a"
if "%holder%"=="%run_id%" ren "%state%\lock" "lock.%run_id%" >nul 2>nul
rd /s /q "%state%\lock.%run_id%" 2>nul
if not exist "%run%\exit" >"%run%\exit.new" echo 143
if not exist "%run%\exit" ren "%run%\exit.new" exit >nul 2>nul
echo @@lf:killed@@
exit /b 0
