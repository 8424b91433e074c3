@echo off
setlocal enableextensions disabledelayedexpansion
rem Asks the agent of a run how it is, by its health.cmd, until that says 0 or the time is over.
rem It never starts or changes anything but what that command does.
rem
rem   health.bat TIMEOUT_S RUN_ID     answers healthy, or unhealthy=LAST LINE
rem   health.bat ask RUN_ID           itself, in the background: one question
set "lib=%~dp0"
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
call "%lib%common.bat" init
if "%~1"=="ask" goto :ask
echo.
echo @@lf:ready@@
set "number=%~1"
%common% is_number
if errorlevel 1 echo @@lf:fail=bad_argument timeout@@& exit /b 1
set "timeout=%number%"
set "word=%~2"
%common% is_word
if errorlevel 1 echo @@lf:fail=bad_argument run id@@& exit /b 1
set "run=%state%\runs\%word%"
call :read_home
if not defined home echo @@lf:fail=bad_argument no run %word%@@& exit /b 1
if not exist "%home%\health.cmd" echo @@lf:unhealthy=health.cmd is missing@@& exit /b 0
set "left=%timeout%"
set "code="
:again
rem One question has what is left of the time, at least 5 s. It stands in the background, because it may hang.
set "patience=%left%"
if %patience% lss 5 set "patience=5"
if exist "%run%\health" rd /s /q "%run%\health" 2>nul
md "%run%\health" 2>nul
start "" /b cmd /d /s /c ""%%lib%%health.bat" ask %word% end" <nul >nul 2>nul
set "spent=0"
:patience
ping -n 2 127.0.0.1 >nul
set /a "spent+=1"
set "code="
if exist "%run%\health\code" for /f "usebackq tokens=1" %%c in ("%run%\health\code") do set "code=%%c"
if not defined code if %spent% lss %patience% goto :patience
if "%code%"=="0" goto :healthy
if not defined code call :end_it
set /a "left-=spent"
if %left% gtr 0 goto :again
set "said="
if exist "%run%\health\said" for /f "usebackq eol=| delims=" %%l in ("%run%\health\said") do set "said=%%l"
if not defined said if defined code set "said=exit code %code%"
if not defined said set "said=no answer within its time"
setlocal enabledelayedexpansion
rem A marker inside of it would end the answer early.
set "said=!said:@=!"
echo @@lf:unhealthy=!said:~0,300!@@
endlocal
rd /s /q "%run%\health" 2>nul
exit /b 0
:healthy
echo @@lf:healthy@@
rd /s /q "%run%\health" 2>nul
exit /b 0

:end_it
set "mark=ask %word% end"
%common% pids
if defined pids %common% kill
exit /b 0

:read_home
rem home: of the agent whose run this is
set "home="
set "setup="
set "name="
if not exist "%run%\params" exit /b 1
for /f "usebackq eol=| tokens=1* delims==" %%a in ("%run%\params") do (
    if "%%a"=="setup_path" set "setup=%%b"
    if "%%a"=="name" set "name=%%b"
)
if not defined setup exit /b 1
if not defined name exit /b 1
set "home=%setup%\%name%"
exit /b 0

:ask
set "run=%state%\runs\%~2"
call :read_home || exit /b 1
cd /d "%home%\current" || exit /b 1
cmd /d /c ..\health.cmd >"%run%\health\said" 2>&1 <nul
set "code=%errorlevel%"
>"%run%\health\code.new" echo %code%
ren "%run%\health\code.new" code
exit /b 0
