@echo off
setlocal enableextensions disabledelayedexpansion
rem Tells what this machine is and has: facts for everybody, and more of them when called by an administrator.
rem It never writes (but that it removes the question), never asks the network, and never runs anything it finds.
rem
rem   probe.bat ASK     stage\ASK holds setup path and temp path, a line each; answers begin, one KEY=VALUE per fact, end
set "lib=%~dp0"
call "%lib%common.bat" init
for /f "delims=" %%d in ("%lib%..\..") do set "state=%%~fd"
echo.
echo @@lf:ready@@
set "word=%~1"
%common% is_word
if errorlevel 1 echo @@lf:fail=bad_argument name of the question@@& exit /b 1
set "files=call "%lib%files.bat""
set "setup="
set "temp_dir="
set "count=0"
if exist "%state%\stage\%word%" for /f "usebackq delims=" %%l in ("%state%\stage\%word%") do set "line=%%l" & call :question
if exist "%state%\stage\%word%" del /f /q "%state%\stage\%word%" >nul 2>nul
echo @@lf:begin@@
call :system
call :account
call :tools
if defined setup set "what=setup" & set "dir=%setup%" & call :place
if defined temp_dir set "what=temp" & set "dir=%temp_dir%" & call :place
if "%uid%"=="0" call :installed
echo @@lf:end@@
exit /b 0

:question
set /a "count+=1"
if "%count%"=="1" set "setup=%line%"
if "%count%"=="2" set "temp_dir=%line%"
exit /b 0

:tell
rem KEY, its value in value: shown as it is
setlocal enabledelayedexpansion
echo @@lf:%1=!value!@@
endlocal
exit /b 0

:setting
rem value: what the registry says under key, name in %1; empty without
set "value="
for /f "tokens=1,2*" %%a in ('reg query "%key%" /v %1 2^>nul ^<nul') do if /i "%%a"=="%1" set "value=%%c"
exit /b 0

:system
set "value=Windows_NT" & call :tell os
set "names=CurrentMajorVersionNumber CurrentMinorVersionNumber CurrentBuildNumber CurrentVersion ProductName"
for %%n in (%names%) do set "%%n="
for /f "tokens=1,2*" %%a in ('reg query "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion" 2^>nul ^<nul') do for %%n in (%names%) do if /i "%%a"=="%%n" set "%%n=%%c"
set "value=%CurrentVersion%"
if defined CurrentMajorVersionNumber set /a "major=CurrentMajorVersionNumber" & set /a "minor=CurrentMinorVersionNumber+0"
if defined CurrentMajorVersionNumber set "value=%major%.%minor%"
set "build=%CurrentBuildNumber%"
if defined build set "value=%value%.%build%"
call :tell release
set "value=%ProductName%"
rem Windows 11 still calls itself 10 there.
set "number=%build%"
%common% is_number
if not errorlevel 1 if %number% geq 22000 if "%value:~0,10%"=="Windows 10" set "value=Windows 11%value:~10%"
call :tell distro
set "key=HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
call :setting PROCESSOR_ARCHITECTURE
if not defined value set "value=%PROCESSOR_ARCHITECTURE%"
if /i "%value%"=="AMD64" set "value=x86_64"
if /i "%value%"=="ARM64" set "value=arm64"
call :tell cpu
%common% boot
set "value=%boot%" & call :tell boot
set "value=scm" & call :tell init
set "value=%oem%" & call :tell codepage
exit /b 0

:account
%common% elevated
set "uid=0"
if errorlevel 1 set "uid=1"
set "value=%uid%" & call :tell uid
set "value=%groups%" & call :tell groups
set "value=%USERNAME%"
for /f "tokens=*" %%u in ('whoami 2^>nul ^<nul') do set "value=%%u"
call :tell user
set "value=%USERPROFILE%" & call :tell home
exit /b 0

rem --- tools: there, and at work. A stub that says yes to everything has none of them ---

:tools
set "tools="
if exist "%sys%\tar.exe" call :try_tar
call :try_certutil
if exist "%sys%\WindowsPowerShell\v1.0\powershell.exe" call :try_powershell
if exist "%sys%\wbem\wmic.exe" call :try_wmic
if exist "%sys%\schtasks.exe" call :try_schtasks
if exist "%sys%\sc.exe" call :try_sc
if exist "%sys%\curl.exe" call :try_curl
set "value="
if defined tools set "value=%tools:~1%"
call :tell tools
exit /b 0

:try_tar
set "line="
for /f "tokens=1" %%l in ('tar --version 2^>nul ^<nul') do if not defined line set "line=%%l"
if defined line set "tools=%tools% tar"
exit /b 0

:try_certutil
set "file=%lib%probe.bat"
set "sha="
for /f "tokens=*" %%h in ('certutil -hashfile "%%file%%" SHA256 2^>nul ^<nul') do set "line=%%h" & call :sha_seen
if defined sha set "tools=%tools% certutil"
exit /b 0

:sha_seen
set "line=%line: =%"
if "%line:~0,63%"=="%line%" exit /b 0
if not "%line:~0,64%"=="%line%" exit /b 0
set "sha=%line%"
exit /b 0

:try_powershell
powershell -NoProfile -NonInteractive -Command "exit 7" <nul >nul 2>nul
if %errorlevel% equ 7 set "tools=%tools% powershell"
exit /b 0

:try_wmic
set "line="
for /f "tokens=2 delims==" %%d in ('wmic os get localdatetime /value 2^>nul ^<nul') do set "line=%%d"
if defined line set "tools=%tools% wmic"
exit /b 0

:try_schtasks
rem What is not there must be an error, and its own one.
schtasks /query /tn "\landfall\none" <nul >nul 2>nul
if %errorlevel% equ 1 set "tools=%tools% schtasks"
exit /b 0

:try_sc
sc query landfall-none <nul >nul 2>nul
if %errorlevel% equ 1060 set "tools=%tools% sc"
exit /b 0

:try_curl
set "line="
for /f "tokens=1" %%l in ('curl --version 2^>nul ^<nul') do if not defined line set "line=%%l"
if defined line set "tools=%tools% curl"
exit /b 0

rem --- places ---

:place
if not "%dir:~1,2%"==":\" exit /b 0
:no_slash
if not "%dir:~0,3%"=="%dir%" if "%dir:~-1%"=="\" set "dir=%dir:~0,-1%" & goto :no_slash
%common% free_kb
rem Nothing is written to find out; a read-only attribute of a directory means nothing. An absent drive is no place.
set "access=rw"
if not exist "%near%\" set "access=ro"
set "value=%near% %free_kb% %access%"
call :tell %what%
exit /b 0

:installed
set "dir=%state%"
%common% free_kb
set "verdict=ok"
if exist "%state%\" set "dir=%state%" & %files% is_link
if exist "%state%\" if not errorlevel 1 set "verdict=link"
set "value=%state% %free_kb% %verdict%" & call :tell place
set "known="
pushd "%state%"
if exist "%state%\history.log" set "known=yes"
if exist "%state%\runs\" set "known=yes"
if not defined known goto :agents
set "value=%state%" & call :tell state
for %%f in (blobs\*) do set "one=%%~nxf" & set "size=%%~zf" & call :blob
for /d %%f in (blobs\*.tree) do set "one=%%~nxf" & set "size=0" & call :blob
set "value="
if exist "%state%\lock\owner" for /f "usebackq delims=" %%l in ("%state%\lock\owner") do set "value=%%l"
if defined value call :tell lock
:agents
rem What an install noted first: an agent may be elsewhere than the request says. Its home is the first line.
set "told=0"
for %%f in (packages\*) do set "list=%%f" & call :noted
popd
if not defined setup exit /b 0
if not exist "%setup%\" exit /b 0
pushd "%setup%" || exit /b 0
for /d %%d in (*) do set "toml=%setup%\%%d\landfall.toml" & call :tell_agent
popd
exit /b 0

:blob
if "%one:~0,1%"=="." exit /b 0
set "value=%one% %size%" & call :tell blob
exit /b 0

:noted
set "toml="
for /f "usebackq delims=" %%l in ("%list%") do if not defined toml set "toml=%%l\landfall.toml"
if defined toml call :tell_agent
exit /b 0

:tell_agent
if not exist "%toml%" exit /b 0
set "seen="
for /f "tokens=1* delims==" %%a in ('2^>nul set told_') do if /i "%%b"=="%toml%" set "seen=yes"
if defined seen exit /b 0
set /a "told+=1"
set "told_%told%=%toml%"
set "value=%toml%" & call :tell installed
for /f "usebackq eol=| delims=" %%l in ("%toml%") do set "value=%%l" & call :tell toml
exit /b 0
