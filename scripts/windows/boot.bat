@echo off
setlocal enableextensions disabledelayedexpansion
rem What the start-up task of an agent without a service runs: its start.cmd, in its directory, output to its log.
rem It never restarts it, and never looks for another agent.
rem
rem   boot.bat run NAME end     tasks\NAME beside it has two lines: the agent's home and its log
set "home="
set "log="
set "oem="
for /f "tokens=1-3" %%a in ('reg query "HKLM\SYSTEM\CurrentControlSet\Control\Nls\CodePage" /v OEMCP 2^>nul') do if "%%b"=="REG_SZ" set "oem=%%c"
if defined oem chcp %oem% >nul 2>nul
for /f "usebackq delims=" %%l in ("%~dp0tasks\%~2") do if not defined home (set "home=%%l") else set "log=%%l"
if not defined home exit /b 34
cd /d "%home%\current" || exit /b 34
set "oem="
set "home="
call ..\start.cmd >>"%log%" 2>&1 <nul
exit /b %errorlevel%
