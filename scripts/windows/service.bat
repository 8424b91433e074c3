@echo off
rem Starts, stops and finds the agent's process, and has it started at boot: by the service manager, or by a task.
rem It never touches a service or a process that is not ours; a name that is taken is refused.
rem
rem   call service.bat FUNCTION     a part of agent.bat: values come in variables, no setlocal, its caller needs what it sets
goto :do_%1

:die
%say% ERROR %step% FAILED
:failed
exit /b %fail%

:do_way
rem way: service, task, or empty when nothing of ours is registered. A note in services\ is a service in the making.
set "way="
set "key=HKLM\SYSTEM\CurrentControlSet\Services\%name%"
reg query "%key%" /v Landfall >nul 2>nul && set "way=service"
if not defined way if exist "%state%\services\%name%" reg query "%key%" >nul 2>nul && set "way=service"
if not defined way if exist "%state%\tasks\%name%" set "way=task"
exit /b 0

:do_check_foreign
if "%p_process%"=="none" exit /b 0
if not "%p_service%"=="yes" exit /b 0
call :do_way
if "%way%"=="service" exit /b 0
reg query "%key%" >nul 2>nul
if not errorlevel 1 set "text=service %name% is not ours, choose another name or remove it" & set "fail=29" & goto :die
exit /b 0

rem --- the process ---

:state
rem status: the number of the service's state, 0 when there is none. pid. By line: the words are translated.
set "status=0"
set "pid="
set "count=0"
for /f "tokens=1* delims=:" %%a in ('sc queryex "%name%" 2^>nul ^<nul') do set "value=%%b" & call :state_line
if "%status%"=="0" set "count=0"
if "%status%"=="0" for /f "tokens=1* delims=:" %%a in ('sc query "%name%" 2^>nul ^<nul') do set "value=%%b" & call :state_line
exit /b 0

:state_line
set /a "count+=1"
set "first="
for /f "tokens=1" %%v in ("%value%") do set "first=%%v"
if not defined first exit /b 0
for /f "delims=0123456789" %%c in ("0%first%") do exit /b 0
if "%count%"=="3" set "status=%first%"
if "%count%"=="9" if not "%first%"=="0" set "pid=%first%"
exit /b 0

:do_running
rem Is it running? Sets pid, and prints who runs when asked to: running print
set "pid="
if not "%p_process%"=="none" goto :running_own
if not exist "%home%\current\" exit /b 1
if "%2"=="print" echo process=none
exit /b 0
:running_own
call :do_way
if "%way%"=="service" goto :running_service
if "%way%"=="task" goto :running_task
exit /b 1
:running_service
call :state
if not "%status%"=="4" exit /b 1
rem An old sc tells no pid: then it is the first program of ours.
if not defined pid %common% pids_below
if not defined pid for %%p in (%pids%) do if not defined pid set "pid=%%p"
if not defined pid exit /b 1
if "%2"=="print" echo process=service %name% %pid%
exit /b 0
:running_task
set "mark=run %name% end"
%common% pids
for %%p in (%pids%) do if not defined pid set "pid=%%p"
if not defined pid exit /b 1
if "%2"=="print" echo process=task %name% %pid%
exit /b 0

:do_start_agent
if "%p_process%"=="none" exit /b 0
set "step=start_agent"
set "text=%name%"
%say% INFO start_agent START
call :do_way
if "%way%"=="service" goto :start_service
if "%way%"=="task" goto :start_task
set "text=%name% is registered nowhere" & set "fail=32" & goto :die

:start_service
sc start "%name%" >nul 2>nul <nul
set "code=%errorlevel%"
if not "%code%"=="0" if not "%code%"=="1056" set "text=sc start %name% ended with %code%" & call :last_words & goto :not_started
for /l %%i in (1,1,30) do call :not_yet || goto :service_up
:service_up
if not "%status%"=="4" set "text=%name% ended at once" & call :last_words & goto :not_started
goto :started

:start_task
schtasks /run /tn "\landfall\%name%" >nul 2>nul <nul
set "code=%errorlevel%"
if not "%code%"=="0" set "text=schtasks /run ended with %code%" & goto :not_started
for /l %%i in (1,1,10) do call :no_task_yet || goto :task_up
:task_up
if not defined pid set "text=%name% ended at once" & call :last_words & goto :not_started
:started
set "text=%name%"
%say% INFO start_agent DONE
exit /b 0
:not_started
set "fail=32" & goto :die

:not_yet
call :state
if not "%status%"=="2" if not "%status%"=="5" exit /b 1
ping -n 2 127.0.0.1 >nul
exit /b 0

:no_task_yet
call :do_running
if not errorlevel 1 exit /b 1
ping -n 2 127.0.0.1 >nul
exit /b 0

:last_words
rem What is known of its end, before the line that tells of it.
set "failed=%text%"
if "%way%"=="service" for /f "tokens=*" %%l in ('sc query "%name%" 2^>nul ^<nul') do set "text=%%l" & %say% WARN %step% -
if not exist "%log%" goto :no_words
for %%f in ("%log%") do set "bytes=%%~zf"
if not "%bytes:~0,6%"=="%bytes%" goto :no_words
for %%n in (1 2 3 4 5) do set "word%%n="
for /f "usebackq eol=| delims=" %%l in ("%log%") do set "text=%%l" & call :next_word
for %%n in (1 2 3 4 5) do if defined word%%n call :tell_word %%n
:no_words
set "text=%failed%"
exit /b 0

:tell_word
setlocal enabledelayedexpansion
set "text=!word%1!"
%say% WARN %step% -
exit /b 0

:next_word
setlocal enabledelayedexpansion
set "text=!text:"='!"
endlocal & set "text=%text%"
set "word1=%word2%"
set "word2=%word3%"
set "word3=%word4%"
set "word4=%word5%"
set "word5=%text%"
exit /b 0

:do_check_deploy_result
set "step=check_deploy_result"
if "%p_process%"=="none" set "text=%name% has no process of its own" & %say% INFO check_deploy_result DONE & exit /b 0
rem A program with a wrong option or a taken port is gone within this second.
ping -n 2 127.0.0.1 >nul
call :do_running running print
if errorlevel 1 set "text=%name% did not stay alive" & call :last_words & set "fail=32" & goto :die
set "text=%name% runs (pid %pid%)"
%say% INFO check_deploy_result DONE
exit /b 0

:do_stop_agent
set "stop_tries="
call :do_way
call :do_running
if errorlevel 1 goto :stop_rest
if exist "%home%\stop.cmd" call :ask_stop
if "%way%"=="task" schtasks /end /tn "\landfall\%name%" >nul 2>nul <nul
if "%way%"=="task" set "mark=run %name% end" & %common% pids & %common% kill
if not "%way%"=="service" goto :stop_rest
:stop_service
sc stop "%name%" >nul 2>nul <nul
set "stop_tries=0"
:stopping
call :state
if "%status%"=="0" goto :stop_rest
if "%status%"=="1" goto :stop_rest
set /a "stop_tries+=1"
if %stop_tries% gtr 20 set "text=service %name% cannot be stopped: state %status%" & set "fail=33" & goto :die
if %stop_tries% geq 10 if defined pid taskkill /t /f /pid %pid% >nul 2>nul <nul
ping -n 2 127.0.0.1 >nul
goto :stopping
:stop_rest
rem A service that is about to start, or one that was started meanwhile, is not left behind.
if not "%way%"=="service" goto :stop_strays
call :state
if not "%status%"=="0" if not "%status%"=="1" if not defined stop_tries goto :stop_service
:stop_strays
set "stop_tries="
rem Programs that run from our directory although nobody knows of them.
if not exist "%home%\" exit /b 0
%common% pids_below
if not defined pids exit /b 0
set "text=still running from %home%:%pids%"
%say% WARN %step% -
for /l %%i in (1,1,10) do call :end_strays || exit /b 0
%common% pids_below
if defined pids set "text=still running from %home%:%pids%" & set "fail=33" & goto :die
exit /b 0

:end_strays
%common% pids_below
if not defined pids exit /b 1
for %%p in (%pids%) do taskkill /t /f /pid %%p >nul 2>nul <nul
ping -n 2 127.0.0.1 >nul
exit /b 0

:ask_stop
rem The package's own way has 10 s. Apart, because it may hang; it is over when it says so, or nothing runs any more.
set "MAINPID=%pid%"
set "asked=%rundir%\stopped"
if exist "%asked%" del /f /q "%asked%"
rem It carries the run id as the runner does: who ends the run ends it, too.
start "" /b cmd /d /s /c ""%%lib%%service.bat" run_stop main %p_run_id% end" <nul >nul 2>nul
for /l %%i in (1,1,10) do call :asked_yet || goto :end_asking
:end_asking
set "mark=run_stop main %p_run_id% end"
%common% pids
if defined pids %common% kill
exit /b 0

:do_run_stop
rem Itself, in the background
cd /d "%home%\current" || exit /b 1
cmd /d /c ..\stop.cmd <nul >nul 2>nul
type nul >"%asked%"
exit /b 0

:asked_yet
rem Fails when it is over: the command has ended, or nothing runs any more.
if exist "%asked%" exit /b 1
call :do_running
if errorlevel 1 exit /b 1
ping -n 2 127.0.0.1 >nul
exit /b 0

rem --- at boot ---

:do_setup_startup_scripts
if "%p_process%"=="none" call :do_unregister & exit /b 0
set "step=setup_startup_scripts"
set "text=%name%"
%say% INFO setup_startup_scripts START
rem What says how it starts is what lies in its home: after a way back it is the old release's.
if exist "%home%\image" goto :by_service
call :remove_service || goto :not_registered
call :register_task || goto :not_registered
set "text=by a task"
%say% INFO setup_startup_scripts DONE
exit /b 0
:by_service
call :remove_task || goto :not_registered
call :register_service || goto :not_registered
set "text=by the service manager"
%say% INFO setup_startup_scripts DONE
exit /b 0
:not_registered
set "text=%name% cannot be registered: %said%" & set "fail=31" & goto :die

:register_service
rem The note comes first and the mark last: whoever is killed between them finds a service that is still known as ours.
set "said=image is empty"
set "image="
for /f "usebackq eol=| delims=" %%l in ("%home%\image") do if not defined image set "image=%%l"
if not defined image exit /b 1
md "%state%\services" 2>nul
type nul >"%state%\services\%name%"
set "tries=0"
:create_again
reg query "%key%" >nul 2>nul && goto :change_service
setlocal enabledelayedexpansion
rem A quote is given to sc as it reads its arguments, and so is the backslash before one.
set "quoted=!image:\"=\\[quote]!"
set "quoted=!quoted:"=\"!"
set "quoted=!quoted:[quote]=\"!"
sc create "!name!" binPath= "!quoted!" start= auto >nul 2>nul <nul
endlocal & set "code=%errorlevel%"
if "%code%"=="0" goto :mark_service
rem 1072: the one before is still going away.
set "said=sc create ended with %code%"
set /a "tries+=1"
if "%code%"=="1072" if %tries% lss 15 ping -n 2 127.0.0.1 >nul & goto :create_again
exit /b 1
:change_service
setlocal enabledelayedexpansion
set "quoted=!image:\"=\\[quote]!"
set "quoted=!quoted:"=\"!"
set "quoted=!quoted:[quote]=\"!"
sc config "!name!" binPath= "!quoted!" start= auto >nul 2>nul <nul
endlocal & set "code=%errorlevel%"
if "%code%"=="0" goto :mark_service
set "said=sc config ended with %code%"
set /a "tries+=1"
if "%code%"=="1072" if %tries% lss 15 ping -n 2 127.0.0.1 >nul & goto :create_again
exit /b 1
:mark_service
set "said=the mark of the service cannot be written"
reg add "%key%" /v Landfall /t REG_SZ /d 1 /f >nul 2>nul <nul || exit /b 1
rem As Restart=on-failure elsewhere. Without it the service starts all the same.
sc failure "%name%" reset= 86400 actions= restart/5000/restart/5000/restart/60000 >nul 2>nul <nul
if exist "%state%\services\%name%" del /f /q "%state%\services\%name%" >nul 2>nul
exit /b 0

:remove_service
call :do_way
if not "%way%"=="service" goto :no_note
set "said=sc delete failed"
sc delete "%name%" >nul 2>nul <nul
set "code=%errorlevel%"
if not "%code%"=="0" if not "%code%"=="1060" if not "%code%"=="1072" exit /b 1
:no_note
if exist "%state%\services\%name%" del /f /q "%state%\services\%name%" >nul 2>nul
exit /b 0

:register_task
rem As XML, because what /create makes of words ends after three days, and not at all on batteries.
set "said=boot.bat cannot be written"
copy /y /b "%lib%boot.bat" "%state%\boot.bat" >nul 2>nul || exit /b 1
md "%state%\tasks" 2>nul
setlocal enabledelayedexpansion
set "bad="
>"!state!\tasks\!name!" echo !home!|| set "bad=yes"
>>"!state!\tasks\!name!" echo !log!|| set "bad=yes"
endlocal & set "bad=%bad%"
set "said=%state%\tasks cannot be written"
if defined bad exit /b 1
set "launcher=%state%\boot.bat"
if not "%launcher: =%"=="%launcher%" for %%f in ("%launcher%") do set "launcher=%%~sf"
set "xml=%rundir%\task.xml"
>"%xml%" echo ^<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"^>
>>"%xml%" echo ^<Triggers^>^<BootTrigger/^>^</Triggers^>
>>"%xml%" echo ^<Principals^>^<Principal id="Author"^>^<UserId^>S-1-5-18^</UserId^>^<RunLevel^>HighestAvailable^</RunLevel^>^</Principal^>^</Principals^>
>>"%xml%" echo ^<Settings^>^<MultipleInstancesPolicy^>IgnoreNew^</MultipleInstancesPolicy^>^<DisallowStartIfOnBatteries^>false^</DisallowStartIfOnBatteries^>
>>"%xml%" echo ^<StopIfGoingOnBatteries^>false^</StopIfGoingOnBatteries^>^<ExecutionTimeLimit^>PT0S^</ExecutionTimeLimit^>^</Settings^>
>>"%xml%" echo ^<Actions Context="Author"^>^<Exec^>^<Command^>cmd.exe^</Command^>^<Arguments^>/d /c %launcher% run %name% end^</Arguments^>^</Exec^>^</Actions^>
>>"%xml%" echo ^</Task^>
schtasks /create /tn "\landfall\%name%" /xml "%xml%" /f >nul 2>nul <nul
if not errorlevel 1 exit /b 0
schtasks /create /tn "\landfall\%name%" /tr "cmd.exe /d /c %launcher% run %name% end" /sc onstart /ru SYSTEM /rl highest /f >nul 2>nul <nul
set "code=%errorlevel%"
set "said=schtasks /create ended with %code%"
if not "%code%"=="0" exit /b 1
set "text=the task could not be made from its description: the system may end it after three days, or on batteries"
%say% WARN %step% -
exit /b 0

:remove_task
if not exist "%state%\tasks\%name%" exit /b 0
set "said=schtasks /delete failed"
schtasks /delete /tn "\landfall\%name%" /f >nul 2>nul <nul
if not errorlevel 1 goto :task_gone
rem Not there, or not to be had: the query tells.
schtasks /query /tn "\landfall\%name%" >nul 2>nul <nul
if not errorlevel 1 exit /b 1
:task_gone
del /f /q "%state%\tasks\%name%" >nul 2>nul
exit /b 0

:do_unregister
call :remove_service || exit /b 1
call :remove_task || exit /b 1
exit /b 0
