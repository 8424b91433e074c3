@echo off
setlocal enableextensions disabledelayedexpansion
rem Proves on a real Windows what cannot be proven without one. A person runs it, elevated; best in a session of its SSH server.
rem It works in %SystemDrive%\lf-selftest, under names of its own, and leaves nothing behind. It never touches an agent.
rem
rem   selftest.bat             one line per check: ok, FAIL or absent, NAME - detail; then a summary. Exit code: the FAILs
rem   selftest.bat leave       starts three programs detached, in three ways. Then end the session and come back:
rem   selftest.bat after       tells which of them outlived it, and takes them away
rem
rem docs/os-support.md tells what this proves.
set "lib=%~dp0"
set "me=%~f0"
call "%lib%common.bat" init
set "root=%SystemDrive%\lf-selftest"
set "state=%root%\landfall"
set "oks=0"
set "fails=0"
set "absents=0"
if "%~1"=="linger" goto :linger
if "%~1"=="leave" goto :leave
if "%~1"=="after" goto :after
if not "%~1"=="" echo usage: selftest.bat [leave or after]& exit /b 2
call :clean
md "%root%" 2>nul
cd /d "%root%" || exit /b 255
call :facts
call :tools
call :language
call :files
call :detached
call :agents
call :shells
cd /d "%SystemDrive%\"
call :clean
if exist "%root%\" call :fail clean "%root% is left behind"
echo.
echo %oks% ok, %fails% FAIL, %absents% absent
exit /b %fails%

:ok
set /a "oks+=1"
echo ok     %1 - %~2
exit /b 0

:fail
set /a "fails+=1"
echo FAIL   %1 - %~2
exit /b 0

:absent
set /a "absents+=1"
echo absent %1 - %~2
exit /b 0

:clean
schtasks /delete /tn "\landfall\lf-selftest" /f >nul 2>nul <nul
schtasks /delete /tn "\landfall\lf-selftest-way" /f >nul 2>nul <nul
sc stop lf-selftest >nul 2>nul <nul
sc delete lf-selftest >nul 2>nul <nul
set "mark=selftest.bat linger"
%common% pids
if defined pids %common% kill
if exist "%root%\" rd /s /q "%root%" 2>nul
if exist "%root%\" ping -n 3 127.0.0.1 >nul
if exist "%root%\" rd /s /q "%root%" 2>nul
exit /b 0

rem --- what the machine is ---

:facts
for /f "tokens=*" %%v in ('ver') do set "line=%%v"
%common% elevated
if errorlevel 1 (call :fail elevated "groups=%groups%: run it as an administrator") else call :ok elevated "groups=%groups%"
%common% boot
if "%boot%"=="unknown" (call :fail boot "nothing changes with a boot") else call :ok boot "%boot%"
if defined oem (call :ok codepage "OEMCP %oem%") else call :fail codepage "the registry has no OEMCP"
set "text=date and time"
set "today="
for /f "tokens=1,2" %%a in ('call "%lib%common.bat" say INFO x -') do set "line=%%a %%b"
if "%line:~4,1%%line:~7,1%%line:~13,1%%line:~16,1%"=="--::" (call :ok date "%line%, cmd says %date% %time%") else call :fail date "%line%"
exit /b 0

rem --- tools ---

:tools
>"%root%\abc" echo abc
set "file=%root%\abc"
set "sha="
%common% sha
if /i "%sha%"=="552bab6864c7a7b69a502ed1854b9245c0e1a30f008aaa0b281da62585fdb025" (call :ok sha256 "of a known file") else call :fail sha256 "'%sha%' of a known file"
powershell -NoProfile -NonInteractive -Command "exit 7" <nul >nul 2>nul
if %errorlevel% equ 7 (call :ok powershell "exit codes come through") else call :absent powershell "ended with %errorlevel%"
set "line="
for /f "tokens=2 delims==" %%d in ('wmic os get localdatetime /value 2^>nul ^<nul') do set "line=%%d"
if defined line (call :ok wmic "%line:~0,14%") else call :absent wmic "not there"
set "line="
for /f "tokens=1" %%d in ('robocopy "|" . /njh /njs 2^>nul ^<nul') do if not defined line set "line=%%d"
if defined line (call :ok robocopy-date "%line%") else call :absent robocopy-date "no line"
schtasks /query /tn "\landfall\none" <nul >nul 2>nul
if %errorlevel% equ 1 (call :ok schtasks "a missing task is 1") else call :fail schtasks "a missing task is %errorlevel%"
sc query landfall-none <nul >nul 2>nul
if %errorlevel% equ 1060 (call :ok sc "a missing service is 1060") else call :fail sc "a missing service is %errorlevel%"
if not exist "%sys%\tar.exe" call :absent tar "before Windows 10 1803 and Server 2019" & goto :no_tar
md t1 t2 2>nul
>t1\one echo one
"%sys%\tar.exe" -czf t.tgz -C t1 one <nul && cd t2 && "%sys%\tar.exe" -xf ..\t.tgz <nul
cd /d "%root%"
if exist t2\one (call :ok tar "packs and unpacks") else call :fail tar "nothing unpacked"
:no_tar
icacls "%root%\abc" /inheritance:r /grant:r *S-1-5-32-544:F *S-1-5-18:F >nul 2>nul <nul
if %errorlevel% equ 0 (call :ok icacls "by SID") else call :fail icacls "ended with %errorlevel%"
if exist "%sys%\curl.exe" (call :ok curl "there") else call :absent curl "before Windows 10 1803 and Server 2019"
set "dir=%root%"
%common% free_kb
if %free_kb% lss 999999999 (call :ok free-room "%free_kb% kB") else call :fail free-room "the last line of dir holds no number, or there is more than 931 GB"
exit /b 0

rem --- the language: what the programs rely on ---

:language
call :literal || call :fail literal "a value with special characters came back as another"
cmd /d /c exit -5
if "%errorlevel%"=="-5" (call :ok exit-codes "32 bits, with their sign") else call :fail exit-codes "-5 is %errorlevel%"
call :fails_with_7 || set "line=seen"
if "%line%"=="seen" (call :ok or-after-call "a failed call is seen") else call :fail or-after-call "no"
exit /b 0

:fails_with_7
exit /b 7

:literal
set "nasty=%root%\100%% a&b ^x! (1) 'q' =;,~"
md "%nasty%\sub" || exit /b 1
setlocal enabledelayedexpansion
>"%root%\list" echo !nasty!|| exit /b 1
endlocal
set "got="
for /f "usebackq eol=| delims=" %%l in ("%root%\list") do set "got=%%l"
if not "%got%"=="%nasty%" exit /b 1
if not exist "%got%\sub\" exit /b 1
rd /s /q "%got%" || exit /b 1
call :ok literal "a directory of special characters, by way of a file"
exit /b 0

rem --- files ---

:files
md a b a\in 2>nul
mklink /j b\link "%root%\a" >nul 2>nul
if exist b\link\in\ (call :ok junction "mklink /j") else call :fail junction "mklink /j made none"
for %%h in (b\link) do set "line=%%~ah"
if not "%line:l=%"=="%line%" (call :ok junction-seen "%line%") else call :fail junction-seen "%line%"
rd b\link 2>nul
if exist a\in\ (call :ok junction-rd "only the link goes") else call :fail junction-rd "its target went"
mklink /j b\link "%root%\a" >nul 2>nul
rd /s /q b
if exist a\in\ (call :ok junction-tree "rd /s does not follow it") else call :fail junction-tree "its target went"
md c d 2>nul
ren c d >nul 2>nul && call :fail rename "took a name that was taken"
if exist c\ call :ok rename "a taken name is refused"
md c 2>nul && call :fail mkdir "made what was there"
if exist c\ call :ok mkdir "refuses what is there"
exit /b 0

rem --- out of the session ---

:detached
for %%w in (powershell wmic task) do call :one_way %%w
exit /b 0

:one_way
call :start_way %1
if errorlevel 1 call :absent detached-%1 "does not start anything here" & exit /b 0
for /l %%i in (1,1,10) do if not exist "%root%\way-%1" ping -n 2 127.0.0.1 >nul
if exist "%root%\way-%1" (call :ok detached-%1 "it ran") else call :fail detached-%1 "it never ran"
set "mark=selftest.bat linger %1"
%common% pids
if not defined listed call :fail command-lines "nobody tells them" & exit /b 0
if defined pids (call :ok seen-%1 "found by its command line:%pids%") else call :fail seen-%1 "not found by its command line"
if defined pids %common% kill
if errorlevel 1 (call :fail killed-%1 "taskkill did not end it") else call :ok killed-%1 "taskkill"
schtasks /delete /tn "\landfall\lf-selftest-way" /f >nul 2>nul <nul
exit /b 0

:start_way
copy /y /b "%lib%common.bat" "%root%\common.bat" >nul
copy /y /b "%me%" "%root%\selftest.bat" >nul
set "LANDFALL_LINE=%SystemRoot%\System32\cmd.exe /d /c %root%\selftest.bat linger %1 end"
cmd /d /c exit 1
if "%1"=="powershell" powershell -NoProfile -NonInteractive -Command "$r = Invoke-WmiMethod -Class Win32_Process -Name Create -ArgumentList $env:LANDFALL_LINE; if ($r -and $r.ReturnValue -eq 0) { exit 0 } else { exit 1 }" <nul >nul 2>nul
if "%1"=="wmic" wmic process call create "%LANDFALL_LINE%" <nul >nul 2>nul
if "%1"=="task" schtasks /create /tn "\landfall\lf-selftest-way" /tr "%LANDFALL_LINE%" /sc once /st 00:00 /ru SYSTEM /rl highest /f <nul >nul 2>nul && schtasks /run /tn "\landfall\lf-selftest-way" <nul >nul 2>nul
if not "%errorlevel%"=="0" exit /b 1
exit /b 0

:linger
rem Two minutes of life, with a sign of it every two seconds.
set "root=%lib:~0,-1%"
for /l %%i in (1,1,60) do (
    >"%root%\way-%~2" echo %%i
    ping -n 3 127.0.0.1 >nul
)
exit /b 0

:leave
call :clean
md "%root%" 2>nul
for %%w in (powershell wmic task) do call :start_way %%w && echo started by %%w
echo End this session now, and within two minutes run in a new one: "%me%" after
exit /b 0

:after
for %%w in (powershell wmic task) do call :outlived %%w
cd /d "%SystemDrive%\"
call :clean
echo.
echo %oks% ok, %fails% FAIL, %absents% absent
exit /b %fails%

:outlived
if not exist "%root%\way-%1" call :absent outlives-%1 "was not started" & exit /b 0
set "first="
set "second="
for /f "usebackq" %%n in ("%root%\way-%1") do set "first=%%n"
ping -n 6 127.0.0.1 >nul
for /f "usebackq" %%n in ("%root%\way-%1") do set "second=%%n"
if "%first%"=="%second%" (call :fail outlives-%1 "ended with the session") else call :ok outlives-%1 "still at work"
exit /b 0

rem --- agents, by the programs themselves ---

:agents
md "%state%\programs\test" "%state%\stage" "%state%\blobs" 2>nul
copy /y /b "%lib%*.bat" "%state%\programs\test\" >nul
call :agent_tree
if not exist tree\bin\agent.exe call :absent service "no C# compiler (csc.exe) to build one" & goto :task_agent
call :agent service yes
:task_agent
rd /s /q tree 2>nul
md tree\bin 2>nul
copy /y /b "%sys%\ping.exe" tree\bin\agent.exe >nul
call :agent task no
exit /b 0

:agent_tree
rem A service of a few lines, by the compiler that comes with .NET
set "csc="
for %%v in (v3.5 v4.0.30319) do if exist "%SystemRoot%\Microsoft.NET\Framework\%%v\csc.exe" set "csc=%SystemRoot%\Microsoft.NET\Framework\%%v\csc.exe"
md tree\bin 2>nul
if not defined csc exit /b 0
>s.cs echo using System.ServiceProcess;
>>s.cs echo class S : ServiceBase { static void Main() { Run(new S()); } }
"%csc%" /nologo /out:tree\bin\agent.exe /r:System.ServiceProcess.dll s.cs >nul 2>nul <nul
exit /b 0

:agent
rem KIND SERVICE: install, status, restart, uninstall of an agent in a directory with special characters
set "kind=%1"
set "service=%2"
set "setup=%root%\my agents 100%% a&b ^x!"
set "sha=0000000000000000000000000000000000000000000000000000000000000000"
rd /s /q "%state%\blobs\%sha%.tree" 2>nul
xcopy tree "%state%\blobs\%sha%.tree" /e /i /q /y >nul <nul
md "%state%\stage\files" 2>nul
del /f /q "%state%\stage\files\*" >nul 2>nul
>"%state%\stage\files\landfall.toml" echo name = "lf-selftest"
setlocal enabledelayedexpansion
if "%service%"=="yes" >"%state%\stage\files\image" echo "!setup!\lf-selftest\current\bin\agent.exe" -x
endlocal
if "%service%"=="no" >"%state%\stage\files\start.cmd" echo @bin\agent.exe -n 600 127.0.0.1
for %%a in (install status restart uninstall) do call :step %%a
sc query lf-selftest >nul 2>nul <nul
if %errorlevel% equ 1060 (call :ok %kind%-gone "no service is left") else call :fail %kind%-gone "a service is left"
schtasks /query /tn "\landfall\lf-selftest" >nul 2>nul <nul
if %errorlevel% equ 0 call :fail %kind%-gone "a task is left"
if exist "%setup%\" call :fail %kind%-gone "files are left"
exit /b 0

:step
set "run=st-%kind%-%1"
md "%state%\stage\%run%" 2>nul
setlocal enabledelayedexpansion
>"%state%\stage\%run%\params" (
    echo run_id=%run%
    echo task=selftest
    echo name=lf-selftest
    echo release=1.0-test
    echo digest=%kind%
    echo form=tree
    echo service=%service%
    echo setup_path=!setup!
    echo run_path=!setup!\run
    echo log_path=!setup!\log
    echo data_path=!setup!\data
    echo stage=%state%\stage\files
    echo blob=%state%\blobs\%sha%.tree
)
endlocal
set "how="
for /f "tokens=2 delims=:@" %%l in ('call "%state%\programs\test\start.bat" %run% %1 selftest 1 60 2^>nul ^<nul') do set "how=%%l"
set "said="
for /l %%i in (1,1,60) do call :ended || goto :step_ended
:step_ended
if "%said%"=="0" call :ok %kind%-%1 "%how%, exit 0" & exit /b 0
call :fail %kind%-%1 "%how%, exit %said%"
if exist "%state%\runs\%run%\log" type "%state%\runs\%run%\log"
exit /b 0

:ended
rem Fails when it is over.
if exist "%state%\runs\%run%\exit" for /f "usebackq" %%c in ("%state%\runs\%run%\exit") do set "said=%%c"
if defined said exit /b 1
ping -n 2 127.0.0.1 >nul
exit /b 0

rem --- shells that an SSH server may start ---

:shells
set "line="
for /f "delims=" %%l in ('powershell -NoProfile -c "cmd.exe /d /s /c 'echo 1 2 ^& echo 3'" 2^>nul ^<nul') do set "line=%%l"
if not defined line call :absent powershell-shell "no PowerShell" & goto :cygwin
if "%line%"=="3" (call :ok powershell-shell "passes a quoted line to cmd") else call :fail powershell-shell "%line%"
:cygwin
set "bash="
for %%d in (cygwin64 cygwin) do if exist "%SystemDrive%\%%d\bin\bash.exe" set "bash=%SystemDrive%\%%d\bin\bash.exe"
if not defined bash call :absent cygwin "no bash below %SystemDrive%\cygwin64 or %SystemDrive%\cygwin" & exit /b 0
set "line="
for /f "delims=" %%l in ('%bash% -c "cmd.exe /d /s /c 'echo 1 2 ^& echo 3'" 2^>nul ^<nul') do set "line=%%l"
if "%line%"=="3" (call :ok cygwin "passes a quoted line to cmd") else call :fail cygwin "%line%"
exit /b 0
