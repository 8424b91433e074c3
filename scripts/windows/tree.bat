@echo off
setlocal enableextensions disabledelayedexpansion
rem Takes in an unpacked package, for hosts without tar: blobs\.SHA256.tree, file by file as blobs\.SHA256.list names them.
rem It proves every file, and only then gives the tree its name. It never runs what it gets.
rem
rem   tree.bat SHA256     answers have, want (the list is missing), stored, or lacks=N per line of the list, then end
rem
rem Lines of the list: SHA256 SIZE REL\PATH
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
set "word=%~1"
%common% is_sha
if errorlevel 1 echo @@lf:fail=bad_argument digest@@& exit /b 1
set "files=call "%lib%files.bat""
set "tree=%state%\blobs\%word%.tree"
set "new=%state%\blobs\.%word%.tree"
set "list=%state%\blobs\.%word%.list"
if exist "%tree%\" echo @@lf:have@@& exit /b 0
if not exist "%list%" echo @@lf:want@@& exit /b 0
rem First by size, which is cheap: what lacks so is sent again anyway.
set "lacks="
set "bad="
set "check=size"
call :each
if defined bad echo @@lf:fail=bad_argument line %bad% of the list@@& exit /b 1
set "check=sha"
if not defined lacks call :each
if defined lacks echo @@lf:end@@& exit /b 0
if not exist "%new%\" md "%new%" 2>nul
set "from=%new%"
set "to=%word%.tree"
%files% rename
if errorlevel 1 echo @@lf:fail=write_failed %tree% cannot be named@@& exit /b 1
del /f /q "%list%" >nul 2>nul
echo @@lf:stored@@
exit /b 0

:each
set "count=0"
for /f "usebackq eol=| tokens=1,2* delims= " %%a in ("%list%") do set "want=%%a" & set "size=%%b" & set "rel=%%c" & call :file
exit /b 0

:file
set /a "count+=1"
if not defined rel set "bad=%count%" & exit /b 0
set "dir=%new%\%rel%"
%files% plain
if errorlevel 1 set "bad=%count%" & exit /b 0
set "file=%new%\%rel%"
set "got="
if exist "%file%" if not exist "%file%\" for %%f in ("%file%") do set "got=%%~zf"
if not "%got%"=="%size%" goto :lacks
if "%check%"=="size" exit /b 0
if "%size%"=="0" exit /b 0
%common% sha
if defined sha if /i "%sha%"=="%want%" exit /b 0
rem Wrong bytes are sent anew, not appended to.
del /f /q "%file%" >nul 2>nul
:lacks
set "lacks=yes"
echo @@lf:lacks=%count%@@
exit /b 0
