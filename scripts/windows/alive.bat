@echo off
setlocal enableextensions disabledelayedexpansion
rem Tells whether a run is still at work.
rem It never starts, ends or writes anything.
rem
rem   alive.bat RUN_ID     answers beat, exit=CODE SIZE (of its log), missing, rebooted, or lost
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
set "word=%~1"
%common% is_word
if errorlevel 1 echo @@lf:fail=bad_argument run id@@& exit /b 1
set "run=%state%\runs\%word%"
set "mark=main %word% "
call :look
if defined answer goto :answer
rem Twice, 5 s apart: it may be on its way in, or writing its exit file.
ping -n 6 127.0.0.1 >nul
call :look
if not defined answer set "answer=lost"
:answer
echo @@lf:%answer%@@
exit /b 0

:look
set "answer="
if not exist "%run%\" set "answer=missing" & exit /b 0
call :ended
if defined answer exit /b 0
set "was="
if exist "%run%\boot" for /f "usebackq delims=" %%b in ("%run%\boot") do set "was=%%b"
%common% boot
if defined was if not "%was%"=="%boot%" set "answer=rebooted" & exit /b 0
%common% pids
if not defined listed set "answer=beat" & exit /b 0
if defined pids set "answer=beat" & exit /b 0
rem It may have ended between the two looks.
call :ended
exit /b 0

:ended
if not exist "%run%\exit" exit /b 0
set "code="
for /f "usebackq tokens=1" %%c in ("%run%\exit") do set "code=%%c"
set "size=0"
if exist "%run%\log" for %%f in ("%run%\log") do set "size=%%~zf"
if defined code set "answer=exit=%code% %size%"
exit /b 0
