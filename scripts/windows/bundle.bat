@echo off
setlocal enableextensions disabledelayedexpansion
rem Puts the rendered files of a task in place, as one directory: stage\NAME.new replaces stage\NAME.
rem It never keeps an older file, and never runs what it moves.
rem
rem   bundle.bat NAME     answers stored
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
set "word=%~1"
%common% is_word
if errorlevel 1 echo @@lf:fail=bad_argument name@@& exit /b 1
set "files=call "%lib%files.bat""
set "from=%state%\stage\%word%.new"
set "to=%word%"
if not exist "%from%\" echo @@lf:fail=bad_argument stage\%word%.new is missing@@& exit /b 1
rd /s /q "%state%\stage\%word%" 2>nul
%files% rename
if errorlevel 1 echo @@lf:fail=write_failed stage\%word%@@& exit /b 1
echo @@lf:stored@@
exit /b 0
