@echo off
setlocal enableextensions disabledelayedexpansion
rem Takes in one stored payload (a package archive), addressed by its SHA-256, that SFTP writes to blobs\.SHA256.part.
rem It proves the bytes on this machine, and only then gives the file its name. It never unpacks or runs what it gets.
rem
rem   put.bat SHA256 SIZE     answers have, stored, or part=SIZE SHA256 (part=0 none): what is there so far
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
set "word=%~1"
%common% is_sha
if errorlevel 1 set "fail=bad_argument digest '%word%'" & goto :fail
set "want=%word%"
set "size=%~2"
for /f "delims=0123456789" %%c in ("0%size%") do set "fail=bad_argument size '%size%'" & goto :fail
if not defined size set "fail=bad_argument size" & goto :fail
set "blob=%state%\blobs\%want%"
set "part=%state%\blobs\.%want%.part"
md "%state%\blobs" 2>nul
if not exist "%state%\blobs\" set "fail=state_refused %state%\blobs cannot be made" & goto :fail
set "got="
if exist "%blob%\" rd /s /q "%blob%" 2>nul
if not exist "%blob%" goto :no_blob
for %%f in ("%blob%") do set "got=%%~zf"
set "file=%blob%"
if "%got%"=="%size%" %common% sha
if "%got%"=="%size%" if "%sha%"=="%want%" goto :have
del /f /q "%blob%" >nul 2>nul
:no_blob
if exist "%part%\" rd /s /q "%part%" 2>nul
set "got=0"
if exist "%part%" for %%f in ("%part%") do set "got=%%~zf"
rem Numbers of more than 32 bits are compared as words of one length.
set "a=00000000000000000000%got%"
set "b=00000000000000000000%size%"
if "%a:~-20%"=="%b:~-20%" goto :whole
if "%a:~-20%" gtr "%b:~-20%" del /f /q "%part%" >nul 2>nul & set "got=0"
rem 1 MiB on top: logs, parameter files and directory blocks must still fit.
set "bytes=%size%"
%common% to_kb
set "need=%kb%"
set "bytes=%got%"
%common% to_kb
set /a "need=need-kb+1025"
set "dir=%state%\blobs"
%common% free_kb
if %free_kb% lss %need% set "fail=no_space %state%\blobs has %free_kb% kB free, %need% kB are needed" & goto :fail
if "%got%"=="0" goto :nothing
set "file=%part%"
%common% sha
if not defined sha del /f /q "%part%" >nul 2>nul & goto :nothing
echo @@lf:part=%got% %sha%@@
exit /b 0
:nothing
echo @@lf:part=0 none@@
exit /b 0
:have
if exist "%part%" del /f /q "%part%" >nul 2>nul
echo @@lf:have@@
exit /b 0
:whole
if not exist "%part%" type nul >"%part%"
set "file=%part%"
%common% sha
set "answer=stored"
if "%size%"=="0" set "sha=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
rem Without any tool that could tell, the size has to do.
if not defined sha set "sha=%want%" & set "answer=stored=unverified"
if /i not "%sha%"=="%want%" del /f /q "%part%" >nul 2>nul & set "fail=checksum %got% bytes received, not those of %want%" & goto :fail
for /l %%i in (1,1,6) do call :name_it %%i || goto :stored
set "fail=write_failed %blob% cannot be named" & goto :fail
:stored
echo @@lf:%answer%@@
exit /b 0

:name_it
rem Fails when it is done. The upload may hold the file a moment longer.
if %1 gtr 1 ping -n 2 127.0.0.1 >nul
move /y "%part%" "%blob%" >nul 2>nul || exit /b 0
exit /b 1
