@echo off
rem Directories and files of an agent: what may be filled, what may be deleted, who made it.
rem It never deletes a tree but below the agent's own directory or one that an install of ours made.
rem
rem   call files.bat FUNCTION     a part of agent.bat: values come in variables, no setlocal, its caller needs what it sets
goto :do_%1

:do_plain
rem Is dir absolute, and does its name say where it is? Windows drops dots and blanks at the end of a name.
if not defined dir exit /b 1
if not "%dir:~1,2%"==":\" exit /b 1
for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" %%c in ("a%dir:~0,1%") do exit /b 1
if "%dir:~0,3%"=="%dir%" exit /b 1
set "tail=%dir:~2%"
for /f "delims=*?<>|/:" %%c in ("%tail%") do if not "%%c"=="%tail%" exit /b 1
if not "%tail:\\=%"=="%tail%" exit /b 1
set "tail=%tail%\"
if not "%tail:.\=%"=="%tail%" exit /b 1
if not "%tail: \=%"=="%tail%" exit /b 1
exit /b 0

:do_guard
rem What may be filled and deleted: no drive, and no directory that the system or its users own.
call :do_plain || exit /b 1
set "part1="
set "part2="
set "part3="
for /f "tokens=1,2* delims=\" %%a in ("%dir:~3%") do set "part1=%%a" & set "part2=%%b" & set "part3=%%c"
if not defined part2 for %%s in ("ProgramData" "Users" "PerfLogs" "inetpub" "cygwin" "cygwin64") do if /i "%part1%"==%%s exit /b 1
if not defined part2 if /i "%part1:~0,13%"=="Program Files" exit /b 1
for %%s in ("System Volume Information" "$Recycle.Bin" "$WinREAgent" "Recovery" "Boot" "EFI" "Config.Msi" "MSOCache" "Windows" "Documents and Settings") do if /i "%part1%"==%%s exit /b 1
if not defined part3 if /i "%part1%"=="Users" exit /b 1
if not defined part3 if /i "%part1:~0,13%"=="Program Files" for %%s in ("Common Files" "Windows NT" "WindowsApps" "ModifiableWindowsApps" "WindowsPowerShell" "Internet Explorer" "OpenSSH") do if /i "%part2%"==%%s exit /b 1
set "base=%SystemRoot%"
if defined base call "%lib%common.bat" within && exit /b 1
set "base=%state%"
if defined base call "%lib%common.bat" within && exit /b 1
for %%p in ("%state%") do set "base=%%~dpp"
for %%s in (Microsoft ssh "Package Cache") do if /i "%dir%"=="%base%%%~s" exit /b 1
set "base=%base%Microsoft"
call "%lib%common.bat" within && exit /b 1
exit /b 0

:do_is_link
rem Is dir a junction or a link?
set "flags="
for %%h in ("%dir%") do set "flags=%%~ah"
if not defined flags exit /b 1
if not "%flags:l=%"=="%flags%" exit /b 0
exit /b 1

:do_remove_tree
rem The one place that deletes trees: victim is home, below it, or a directory that we made ourselves.
set "dir=%victim%"
set "base=%home%"
call "%lib%common.bat" within || call :do_remembered || exit /b 1
call :do_guard || exit /b 1
for /l %%i in (1,1,6) do call :try_remove %%i || exit /b 0
if exist "%victim%\" exit /b 1
exit /b 0

:try_remove
rem Fails when nothing is left. A program that has just died may hold its files for a moment.
if not exist "%victim%" exit /b 1
if %1 gtr 1 ping -n 2 127.0.0.1 >nul
rd /s /q "%victim%" >nul 2>nul
if exist "%victim%" if not exist "%victim%\" del /f /q /a "%victim%" >nul 2>nul
if exist "%victim%" exit /b 0
exit /b 1

:do_remembered
rem Did an install of ours make dir?
if not exist "%made%" exit /b 1
set "hit="
for /f "usebackq delims=" %%l in ("%made%") do if /i "%%l"=="%dir%" set "hit=yes"
if defined hit exit /b 0
exit /b 1

:do_make_dir
rem Writes down every missing part of dir before it makes it: uninstall takes away what was made, nothing else.
rem Where anybody may write, as on drive C, what is made below would be everybody's: it is an administrator's.
set "whole=%dir%"
set "first="
:make_part
if exist "%dir%\" goto :make_now
call :do_remembered || call :remember || exit /b 1
set "first=%dir%"
for %%p in ("%dir%") do set "dir=%%~dpp"
if "%dir:~0,3%"=="%dir%" goto :make_now
set "dir=%dir:~0,-1%"
goto :make_part
:make_now
set "dir=%whole%"
if exist "%dir%\" exit /b 0
md "%dir%" 2>nul
if not exist "%dir%\" exit /b 1
if defined first set "victim=%first%" & call :close
exit /b 0

:do_take_over
rem What lies in dir was somebody else's, who could change it under us.
if not exist "%dir%\" exit /b 0
call :do_remembered && exit /b 0
icacls "%dir%" /setowner *S-1-5-32-544 /t /c /q >nul 2>nul
icacls "%dir%" /reset /t /c /q >nul 2>nul
set "victim=%dir%"
:close
icacls "%victim%" /inheritance:r /grant *S-1-5-32-544:(OI)(CI)F *S-1-5-18:(OI)(CI)F *S-1-5-32-545:(OI)(CI)RX /q >nul 2>nul
if not errorlevel 1 exit /b 0
set "text=%victim% cannot be closed to others"
%say% WARN %step% -
exit /b 0

:remember
setlocal enabledelayedexpansion
>>"%made%" echo !dir!|| exit /b 1
exit /b 0

:do_unmake_dirs
rem Again and again, because a parent is empty only after its child went. rd spares whatever holds anything.
if not exist "%made%" exit /b 0
:unmake_more
set "again="
for /f "usebackq delims=" %%l in ("%made%") do if exist "%%l\" set "dir=%%l" & call :unmake
if defined again goto :unmake_more
if exist "%made%.new" del /f /q "%made%.new"
for /f "usebackq delims=" %%l in ("%made%") do if exist "%%l\" set "dir=%%l" & call :still_made
if exist "%made%.new" (move /y "%made%.new" "%made%" >nul) else del /f /q "%made%"
exit /b 0

:unmake
call :do_is_link && exit /b 0
rd "%dir%" >nul 2>nul
if not exist "%dir%\" set "again=yes"
exit /b 0

:still_made
setlocal enabledelayedexpansion
>>"%made%.new" echo !dir!|| exit /b 1
exit /b 0

:do_shared
rem Does another package of ours live in victim, below it or above it?
set "hit_shared="
if not exist "%state%\packages\" exit /b 1
pushd "%state%\packages" || exit /b 1
for %%f in (*) do if /i not "%%f"=="%name%" set "other=%state%\packages\%%f" & call :shared_with
popd
if defined hit_shared exit /b 0
exit /b 1

:shared_with
for /f "usebackq delims=" %%l in ("%other%") do set "one=%%l" & call :shared_dir
exit /b 0

:shared_dir
set "dir=%one%"
set "base=%victim%"
call "%lib%common.bat" within && set "hit_shared=yes"
set "dir=%victim%"
set "base=%one%"
call "%lib%common.bat" within && set "hit_shared=yes"
exit /b 0

:do_put_file
rem Copies from to to; mode (as on Linux) says whether others may read it. Readers see the old file or the new one.
for %%p in ("%to%") do if not exist "%%~dpp" md "%%~dpp"
if exist "%to%.landfall-new" del /f /q "%to%.landfall-new"
copy /y /b "%from%" "%to%.landfall-new" >nul 2>nul || exit /b 1
attrib -r "%to%.landfall-new" >nul 2>nul
if "%mode:~-1%"=="0" icacls "%to%.landfall-new" /inheritance:r /grant:r *S-1-5-32-544:F *S-1-5-18:F >nul 2>nul <nul || call :open_file
if exist "%to%" attrib -r "%to%" >nul 2>nul
move /y "%to%.landfall-new" "%to%" >nul 2>nul || exit /b 1
exit /b 0

:open_file
set "text=%to% is open to other users: icacls said no"
%say% WARN setup_agent -
exit /b 0

:do_rename
rem Renames from to the bare name to. A virus scanner may hold what was just written: 6 tries.
for /l %%i in (1,1,6) do call :try_rename %%i || exit /b 0
exit /b 1

:try_rename
rem Fails when it is done.
if %1 gtr 1 ping -n 2 127.0.0.1 >nul
ren "%from%" "%to%" >nul 2>nul || exit /b 0
exit /b 1

:do_same
rem Are the files from and to the same? Both missing are the same, too.
if not exist "%from%" if not exist "%to%" exit /b 0
if not exist "%from%" exit /b 1
if not exist "%to%" exit /b 1
for %%a in ("%from%") do for %%b in ("%to%") do if not "%%~za"=="%%~zb" exit /b 1
for %%a in ("%from%") do if "%%~za"=="0" exit /b 0
set "file=%from%"
call "%lib%common.bat" sha || exit /b 1
set "sha1=%sha%"
set "file=%to%"
call "%lib%common.bat" sha || exit /b 1
if /i "%sha1%"=="%sha%" exit /b 0
exit /b 1
