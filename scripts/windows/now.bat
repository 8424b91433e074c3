@echo off
setlocal enableextensions disabledelayedexpansion
rem Runs one action of a run that is there, at once and in this session: for what only looks, like status.
rem It never takes the lock, and writes no exit file.
rem
rem   now.bat RUN_ID ACTION     the output of agent.bat as it is, then exit=CODE: a PowerShell between us and the server makes
rem                             1 of every code but 0
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
for %%w in ("%~1" "%~2") do set "word=%%~w" & call :is_word || exit /b 1
set "run=%state%\runs\%~1"
if not exist "%run%\agent.bat" echo @@lf:fail=bad_argument no run %~1@@& exit /b 1
cmd /d /s /c ""%%run%%\agent.bat" %~2" <nul
set "code=%errorlevel%"
echo @@lf:exit=%code%@@
exit /b %code%

:is_word
%common% is_word
if not errorlevel 1 exit /b 0
echo @@lf:fail=bad_argument a word is wrong@@
exit /b 1
