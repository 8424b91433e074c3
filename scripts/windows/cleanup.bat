@echo off
setlocal enableextensions disabledelayedexpansion
rem Takes away what a finished task no longer needs in the state directory.
rem It never touches a living run, history.log, the lock, or anything outside of the state directory.
rem
rem   cleanup.bat TASK KEEP_RUNS keep^|purge SHA256...     keep spares the named blobs; purge, after an uninstall, takes
rem                                                       all of them and the whole stage. Answers done
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
set "fail=bad_argument TASK KEEP_RUNS keep or purge expected"
set "word=%~1"
%common% is_word || goto :fail
set "task=%word%"
set "number=%~2"
%common% is_number || goto :fail
set "keep_runs=%number%"
set "mode=%~3"
if not "%mode%"=="keep" if not "%mode%"=="purge" goto :fail
set "spared= "
:next
if "%~4"=="" goto :known
set "word=%~4"
%common% is_sha || goto :fail
set "spared=%spared%%word% "
shift /4
goto :next
:known
cd /d "%state%" || exit /b 1
rd /s /q "%state%\stage\%task%" 2>nul
for /d %%d in (stage\%task%.* stage\%task%-*) do rd /s /q "%%d" 2>nul
if exist "%state%\stage\%task%.ask" del /f /q "%state%\stage\%task%.ask" 2>nul
%common% prune_runs
if "%mode%"=="purge" goto :purge
set "newer="
for /f "delims=" %%b in ('dir /b /a /o-d "%%state%%\blobs" 2^>nul ^<nul') do set "one=%%b" & call :prune_blob
goto :done
:purge
rem A run that lives belongs to another task, which still needs its files; its own cleanup comes later.
if not defined living rd /s /q "%state%\blobs" 2>nul
if not defined living rd /s /q "%state%\stage" 2>nul
:done
echo @@lf:done@@
exit /b 0

:prune_blob
rem From the newest to the oldest. A broken upload stays to be resumed until a later one went through.
if "%one:~0,1%"=="." goto :partial
set "newer=yes"
set "word=%one:~0,64%"
%common% is_sha || exit /b 0
setlocal enabledelayedexpansion
set "hit="
if not "!spared: %word% =!"=="!spared!" set "hit=yes"
endlocal & set "hit=%hit%"
if defined hit exit /b 0
goto :remove_blob
:partial
if not defined newer exit /b 0
set "word=%one:~1,64%"
%common% is_sha || exit /b 0
:remove_blob
if exist "%state%\blobs\%one%\" rd /s /q "%state%\blobs\%one%" 2>nul
if exist "%state%\blobs\%one%" del /f /q "%state%\blobs\%one%" 2>nul
exit /b 0
