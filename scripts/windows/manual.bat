rem Carries a host task out from a cmd.exe of the host: asks the server for the plan, does its steps by the programs that an
rem executor would bring, and reports how each went.
rem It never shows its token in an argument or the environment, and never decides by itself what a step is.
rem
rem Comes after lines that set lf_base lf_task lf_digest lf_programs and say the token, and before manual_http.bat. May be
rem begun again after a break: what is done stays done.
set "self=%~f0"
set "work=%~dp0work"
if "%~1"=="go" goto :go
rem A cmd of its own, which any part of it can end: 75 when it may be begun again.
cmd /d /s /c ""%self%" go" <nul
set "code=%errorlevel%"
if "%code%"=="75" echo landfall: begin it again with: "%self%"
if "%code%"=="75" exit /b 1
rem One line, read before the file is gone. The directory goes when nothing else is in it.
(endlocal & cd /d "%SystemRoot%" & rd /s /q "%work%" & del /f /q "%self%" & rd "%~dp0." 2>nul & exit /b %code%)

:go
set "tries=9"
set "started="
set "PATH=%SystemRoot%\System32;%SystemRoot%;%SystemRoot%\System32\Wbem;%SystemRoot%\System32\WindowsPowerShell\v1.0"
set "state=%ProgramData%\landfall"
set "lib=%state%\programs\%lf_digest%\"
call :is_plain || exit 75
whoami /groups | findstr /c:S-1-16-12288 /c:S-1-16-16384 >nul
if errorlevel 1 echo landfall: run this in a cmd.exe that was opened as administrator& exit 75
call :settle_work || exit 75
call :find_tool || exit 75
call :settle_state || exit 75
call :settle_programs
call "%lib%common.bat" init
if not defined oem set "oem=437"
call :probe
call :read_sheet
for %%s in (%steps%) do call :step %%s
echo landfall: done
exit 0

rem --- before the plan ---

:is_plain
rem Everything of ours is called by this path, without quotes.
for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:\" %%c in ("a%state%") do goto :not_plain
exit /b 0
:not_plain
echo landfall: %state% cannot be the state directory: only letters, digits, - _ and . may be in its name
exit /b 1

:settle_work
rem What is sent lies there, the token with it.
rd /s /q "%work%" 2>nul
md "%work%" && cd /d "%work%" && icacls . /inheritance:r /grant *S-1-5-32-544:(OI)(CI)F *S-1-5-18:(OI)(CI)F >nul
if errorlevel 1 echo landfall: "%work%" cannot be made& exit /b 1
>head echo task_id=%lf_task%
rem The token is in this file, and gets into no variable: those are seen in every program that is started.
call "%self%" token >>head
exit /b 0

:find_tool
set "tool="
curl --version >nul 2>nul <nul && set "tool=curl"
if not defined tool powershell -NoProfile -NonInteractive -Command "exit 7" >nul 2>nul <nul
if not defined tool if "%errorlevel%"=="7" set "tool=powershell"
if defined tool exit /b 0
echo landfall: no HTTP client on this host: neither curl.exe nor PowerShell is at work
exit /b 1

:settle_state
rem As the executor does: the mark in the registry names the directory that was made. Another of its name is somebody else's,
rem unless it is empty.
set "mark=HKLM\SOFTWARE\landfall"
call :number
set "marked="
for /f "tokens=1-3" %%a in ('reg query %mark% /v state 2^>nul ^<nul') do if "%%b"=="REG_SZ" set "marked=%%c"
if exist %state%\ if /i "%marked%"=="%number%" goto :places
reg delete %mark% /f >nul 2>nul <nul
rd %state% 2>nul
if exist %state% echo landfall: %state% is not ours: remove it& exit /b 1
md %state% && icacls %state% /inheritance:r /grant *S-1-5-32-544:(OI)(CI)F *S-1-5-18:(OI)(CI)F >nul
if errorlevel 1 echo landfall: %state% cannot be made& exit /b 1
call :number
reg add %mark% /v state /d %number% /f >nul <nul
if errorlevel 1 echo landfall: %state% cannot be made& exit /b 1
goto :places

:number
rem number: that of the state directory on its volume; a word where the system tells none
set "number=made"
for /f "delims=" %%l in ('fsutil file queryfileid %state% 2^>nul ^<nul') do for %%w in (%%l) do set "word=%%w" & call :is_number_word
exit /b 0

:is_number_word
if "%word:~0,2%"=="0x" set "number=%word%"
exit /b 0

:places
for %%n in (stage blobs runs packages programs) do if not exist %state%\%%n\ md %state%\%%n
exit /b 0

:settle_programs
if exist %lib%ready exit /b 0
if not exist %lib% md %lib%
set "at=0"
for %%n in (%lf_programs%) do set "name=%%n" & call :bring_program
type nul >%lib%ready
exit /b 0

:bring_program
call :body part=program at=%at%
call :ask /backend/fetch/ %lib%%name%
set /a "at+=1"
exit /b 0

:probe
set "ask=%lf_task%.ask"
call :body part=places
call :ask /backend/fetch/ %state%\stage\%ask%
call :program probe %ask%
call :body codepage=%oem% text=facts
copy /y /b body+said both >nul
move /y both body >nul
call :ask /backend/settle/ sheet
exit /b 0

:read_sheet
set "steps="
set "files=0"
for %%k in (action package tree stage before run_id log_at health cleanup) do set "%%k="
for /f "usebackq eol=| tokens=1* delims==" %%a in ("sheet") do set "key=%%a" & set "value=%%b" & call :sheet_line
set "run=%state%\runs\%run_id%"
exit /b 0

:sheet_line
for %%k in (epoch action package tree stage before run_id log_at health cleanup) do if "%key%"=="%%k" set "%%k=%value%"
if "%key%"=="step" set "steps=%steps% "%value%""
if "%key%"=="end" goto :told_end
if not "%key%"=="file" exit /b 0
set "file_%files%=%value%"
set /a "files+=1"
exit /b 0
:told_end
setlocal enabledelayedexpansion
echo landfall: !value!
exit 1

rem --- our programs ---

:program
rem NAME WORD ...: its output in said, its exit code in code, the last word that it said in word
set "words="
:program_word
if "%~2"=="" goto :program_run
set "words=%words% %~2"
shift /2
goto :program_word
:program_run
cmd /d /s /c "%lib%%~1.bat%words%" >said 2>&1 <nul
set "code=%errorlevel%"
:word
set "word="
for /f "usebackq tokens=1* delims=:" %%a in ("said") do if "%%a"=="@@lf" set "word=%%b"
if not defined word exit /b 0
set "word=%word:"=%"
if not "%word:~-2%"=="@@" set "word=" & exit /b 0
set "word=%word:~0,-2%"
if "%word%"=="ready" set "word="
exit /b 0

:failed_as
rem STEP: by what a program said
set "text=failed the program ended without an answer (%word%)"
if "%word:~0,5%"=="fail=" set "text=%word:~5%"
goto :failed

rem --- the steps ---

:step
for /f "tokens=1,2" %%a in ("%~1") do set "step=%%a" & set "deadline=%%b"
for %%k in (upload_package upload_files run_script verify verify_gone cleanup) do if "%step%"=="%%k" goto :%step%
echo landfall: this script does not know the step %step%
exit 75

:upload_package
call :begin upload_package
for /f "tokens=1,2" %%a in ("%package%") do set "sha=%%a" & set "size=%%b"
set "sent=0"
set "round=1"
set "before_at=-1"
if "%tree%"=="yes" goto :upload_tree
set "part=%state%\blobs\.%sha%.part"
:look_again
call :program put %sha% %size%
set "text=%word%"
if not "%sent%"=="0" if "%word%"=="have" set "text=stored %sent%"
if "%word:~0,6%"=="stored" set "text=%word% %sent%"
if not "%text:~0,5%"=="part=" goto :package_told
if "%text%"=="part=0 none" del /f /q %part% >nul 2>nul
for /f "tokens=1 delims== " %%a in ("%text:~5%") do set "at=%%a"
if not "%at%"=="%before_at%" set "round=1"
if %round% gtr %tries% set "text=unreached %lf_base% (%code%)" & call :failed upload_package
set "before_at=%at%"
call :body part=package offset=%at%
call :append %part%
set "now=%at%"
for %%f in (%part%) do if not "%%~zf"=="" set "now=%%~zf"
set /a "sent+=now-at"
if "%now%"=="%size%" goto :look_again
rem A server that knows us no more says so here, and then this ends.
call :beat
set /a "pause=round*5+1"
ping -n %pause% 127.0.0.1 >nul
set /a "round+=1"
goto :look_again
:package_told
if not "%text:~0,4%"=="have" if not "%text:~0,6%"=="stored" call :failed_as upload_package
call :done_with upload_package
exit /b 0

:upload_tree
rem Where nothing unpacks it, the package comes file by file.
set "list=%state%\blobs\.%sha%.list"
:look_at_tree
call :program tree %sha%
set "text=have"
if "%word%"=="stored" set "text=stored %size%"
if "%word%"=="stored" goto :package_told
if "%word%"=="have" goto :package_told
if not "%word%"=="want" if not "%word%"=="end" call :failed_as upload_package
if %round% gtr 3 set "text=unreached files of the package do not come whole" & call :failed upload_package
set /a "round+=1"
if "%word%"=="want" call :body part=list
if "%word%"=="want" call :ask /backend/fetch/ %list%
if "%word%"=="want" goto :look_at_tree
for /f "usebackq tokens=3 delims=:=@" %%a in ("said") do set "lack_%%a=yes"
set "at=0"
for /f "usebackq eol=| tokens=2* delims= " %%a in ("%list%") do set "rel=%%b" & call :leaf
goto :look_at_tree

:leaf
set /a "number=at+1"
if not defined lack_%number% set "at=%number%" & exit /b 0
set "lack_%number%="
call :body part=leaf at=%at%
call :ask /backend/fetch/ leaf
set "to=%state%\blobs\.%sha%.tree\%rel%"
call :put_leaf
set "at=%number%"
exit /b 0

:put_leaf
for %%p in ("%to%") do if not exist "%%~dpp" md "%%~dpp"
move /y leaf "%to%" >nul
if not errorlevel 1 exit /b 0
set "text=write_failed %to%"
call :failed %step%
exit /b 1

:upload_files
call :begin upload_files
rd /s /q %state%\stage\%stage%.new 2>nul
md %state%\stage\%stage%.new
set "at=0"
:next_file
if "%at%"=="%files%" goto :all_files
call :body part=file at=%at%
call :ask /backend/fetch/ leaf
setlocal enabledelayedexpansion
for /f "delims=" %%n in ("!file_%at%!") do endlocal & set "to=%state%\stage\%stage%.new\%%n"
call :put_leaf
set /a "at+=1"
goto :next_file
:all_files
call :program bundle %stage%
if not "%word%"=="stored" call :failed_as upload_files
set "text=stored"
call :done_with upload_files
exit /b 0

:run_script
call :begin run_script
rem What the attempt before may have left running must not meet this one.
if defined before call :program kill %before%
if not exist %state%\stage\%run_id%\ md %state%\stage\%run_id%
call :body part=params
call :ask /backend/fetch/ %state%\stage\%run_id%\params
type nul >said
rem Beside this: a host that has no way to start it apart does the run in this very call.
start "" /b cmd /d /s /c "%lib%start.bat %run_id% %action% %lf_task% %epoch% %deadline% >said 2>&1" <nul
set "started=yes"
for /l %%i in (1,1,120) do call :not_told && ping -n 2 127.0.0.1 >nul
if "%word:~0,5%"=="fail=" call :failed_as run_script
goto :follow

:not_told
call :word
if defined word exit /b 1
exit /b 0

:follow
set "at=%log_at%"
set "idle=0"
set "quiet=0"
set "spent=0"
set "ending="
call :seconds
:watch
call :ship && set "quiet=0" && goto :watch
if defined ending goto :run_ended
rem What is written before the exit code is there when that is: the log is looked at once more.
if exist %run%\exit for /f "usebackq tokens=1" %%c in ("%run%\exit") do set "ending=exit=%%c"
if defined ending goto :watch
set /a "idle+=1"
set /a "quiet+=1"
if %idle% geq 5 call :look
if %quiet% geq 10 set "quiet=0" & call :beat
call :spend
if %spent% geq %deadline% call :stop_run
if %spent% geq %deadline% set "text=late %deadline%" & call :failed run_script
if not defined ending ping -n 2 127.0.0.1 >nul
goto :watch
:run_ended
set "started="
for %%f in (%run%\log) do set "log_size=%%~zf"
if "%ending:~0,5%"=="exit=" set "text=%ending% %log_size%"
if not "%ending:~0,5%"=="exit=" set "text=%ending%"
call :done_with run_script
if "%ending%"=="exit=0" exit /b 0
exit 1

:look
set "idle=0"
call :program alive %run_id%
if "%word%"=="missing" set "ending=lost"
if "%word%"=="lost" set "ending=lost"
if "%word%"=="rebooted" set "ending=rebooted"
exit /b 0

:ship
rem The next piece of the log, as it is; fails when there is none
set "log_size=0"
if exist %run%\log for %%f in (%run%\log) do set "log_size=%%~zf"
if %log_size% leq %at% exit /b 1
set /a "last=at+65535"
if %last% geq %log_size% set /a "last=log_size-1"
del /f /q piece >nul 2>nul
if "%tool%"=="curl" curl -gsS -r %at%-%last% -o piece "file:///%run:\=/%/log" 2>why <nul
if not "%tool%"=="curl" powershell -NoProfile -NonInteractive -Command "$s=[IO.File]::Open($env:run+'\log','Open','Read','ReadWrite'); $n=[int]$env:last-[int]$env:at+1; $b=New-Object byte[] $n; [void]$s.Seek([int]$env:at,'Begin'); $n=$s.Read($b,0,$n); $s.Close(); $o=[IO.File]::Create('piece'); $o.Write($b,0,$n); $o.Close()" 2>why <nul
if not exist piece exit /b 1
set "got=0"
for %%f in (piece) do set "got=%%~zf"
if "%got%"=="0" exit /b 1
type piece
call :body offset=%at%
copy /y /b body+piece both >nul
move /y both body >nul
call :ask /backend/report_log/ answer
set /a "at+=got"
call :answered
exit /b 0

:seconds
rem clock: of this day; a system that shows no seconds has those of its minutes
set "now=%time: =0%"
set "rest=%now:~6,2%"
if not defined rest set "rest=00"
if "%now:~0,6%"=="%now%" set "rest=00"
set /a "clock=(1%now:~0,2%-100)*3600+(1%now:~3,2%-100)*60+1%rest%-100"
exit /b 0

:spend
set "clock_before=%clock%"
call :seconds
if %clock% lss %clock_before% set /a "spent+=86400"
set /a "spent+=clock-clock_before"
exit /b 0

:status
rem code, and who runs in who
call :program now %run_id% status
set "who="
for /f "tokens=1* delims==" %%a in ('findstr "process=" said ^<nul') do set "who=%%b"
exit /b 0

:verify
call :begin verify
call :status
set "text=died the agent does not run (exit code %code%)"
if not "%code%"=="0" call :failed verify
set "one=%who%"
for /f "tokens=1,2" %%a in ("%health%") do set "patience=%%a" & set "mode=%%b"
if "%mode%"=="command" call :program health %patience% %run_id%
if not "%mode%"=="command" call :question
set "answer=%word%"
call :status
set "text=died the agent ended while it was asked"
if not "%code%"=="0" call :failed verify
set "text=died the agent was started again while it was asked (%one%, then %who%)"
if not "%one%"=="%who%" call :failed verify
set "text=healthy %one%"
if "%answer%"=="healthy" goto :verified
set "word=%answer%"
set "text=unhealthy %answer:~10%"
if "%answer:~0,10%"=="unhealthy=" call :failed verify
call :failed_as verify
:verified
call :done_with verify
exit /b 0

:question
rem word: what comes of asking again and again, as long as the agent has time
call :body part=health
call :ask /backend/fetch/ asked
set "question="
for /f "usebackq delims=" %%q in ("asked") do set "question=%%q"
set "spent=0"
call :seconds
:once_more
set "word="
call :by_%mode%_%tool%
if defined word exit /b 0
call :spend
if %spent% lss %patience% ping -n 2 127.0.0.1 >nul & goto :once_more
set "word=unhealthy=%question% did not answer in time"
exit /b 0

:by_http_curl
curl -gfsS -m 5 -o nul "%question%" >nul 2>nul <nul && set "word=healthy"
exit /b 0

:by_tcp_curl
rem Whatever is said then: the connection is what counts.
>code echo 0
curl -gsS -m 5 -o nul -w "%%{time_connect}" "http://%question%/" >code 2>nul <nul
for /f "usebackq delims=0.," %%c in ("code") do set "word=healthy"
exit /b 0

:by_http_powershell
powershell -NoProfile -NonInteractive -Command "$q=[Net.WebRequest]::Create($env:question); $q.Timeout=5000; try {$q.GetResponse().Close(); exit 7} catch {exit 1}" >nul 2>nul <nul
if "%errorlevel%"=="7" set "word=healthy"
exit /b 0

:by_tcp_powershell
powershell -NoProfile -NonInteractive -Command "$at=$env:question.LastIndexOf(':'); $h=$env:question.Substring(0,$at).Trim('[',']'); try {(New-Object Net.Sockets.TcpClient($h,[int]$env:question.Substring($at+1))).Close(); exit 7} catch {exit 1}" >nul 2>nul <nul
if "%errorlevel%"=="7" set "word=healthy"
exit /b 0

:verify_gone
call :begin verify_gone
call :status
rem scripts/exit_codes.toml: not_installed
set "text=still exit code %code%"
if not "%code%"=="34" call :failed verify_gone
set "text=gone"
call :done_with verify_gone
exit /b 0

:cleanup
call :begin cleanup
call :program cleanup %lf_task% %cleanup%
set "text=failed %word%"
if not "%word%"=="done" call :report cleanup FAILED
if not "%word%"=="done" exit /b 0
set "text=done"
call :done_with cleanup
exit /b 0

:stop_run
rem stopped: killed, gone, alive or nothing
set "stopped=nothing"
if not defined started exit /b 0
call :program kill %run_id%
set "stopped=%word%"
exit /b 0
