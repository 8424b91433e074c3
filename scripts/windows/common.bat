@echo off
rem What all programs share: the same surroundings everywhere, log lines, processes, digests, free room.
rem It never writes a file; it deletes runs that are over, and ends the processes it is told.
rem
rem   call common.bat FUNCTION WORDS     free values come in variables, what it finds goes to variables
rem
rem No setlocal, its caller needs what it sets. Delayed expansion is off but where a value is shown: between quotes
rem percent expansion is done once and leaves everything else as it is, and no value holds a quote. How long a value is tells
rem `"%v:~0,9%"=="%v%"`, and patterns of `for` are looked for in the current directory: wine's cmd fails at what is simpler.
goto :do_%1

:do_init
rem The tools of the system alone, of its own width: the server may be a 32-bit program, or Cygwin's with its own find and tar.
set "PATH=%SystemRoot%\System32;%SystemRoot%;%SystemRoot%\System32\Wbem;%SystemRoot%\System32\WindowsPowerShell\v1.0"
set "sys=%SystemRoot%\System32"
if exist "%SystemRoot%\Sysnative\cmd.exe" set "sys=%SystemRoot%\Sysnative"
if exist "%SystemRoot%\Sysnative\cmd.exe" set "PATH=%sys%;%sys%\Wbem;%sys%\WindowsPowerShell\v1.0;%PATH%"
set "PATHEXT=.COM;.EXE;.BAT;.CMD"
set "ERRORLEVEL="
set "today="
set "last_now="
set "say=call "%lib%common.bat" say"
set "common=call "%lib%common.bat""
rem Files with values are in the code page of the machine, and cmd reads them in that of its console. Whoever called us may have
rem set that already.
set "oem=%LANDFALL_PAGE%"
if defined oem exit /b 0
for /f "tokens=1-3" %%a in ('reg query "HKLM\SYSTEM\CurrentControlSet\Control\Nls\CodePage" /v OEMCP 2^>nul ^<nul') do if "%%b"=="REG_SZ" set "oem=%%c"
if defined oem chcp %oem% >nul 2>nul
set "LANDFALL_PAGE=%oem%"
exit /b 0

:do_say
rem say LEVEL STEP STATUS, the message in text
set "now=%time: =0%"
rem wine's cmd shows no seconds.
if "%now:~0,6%"=="%now%" set "now=%now%:00"
set "now=%now:~0,2%:%now:~3,2%:%now:~6,2%"
if not defined today call :today
if defined last_now if "%now%" lss "%last_now%" call :today
set "last_now=%now%"
setlocal enabledelayedexpansion
echo !today! !now! %2 %3 %4 !text!
endlocal
exit /b 0

:today
rem The same on every system: wmic, else what robocopy writes before an error, else the order that the registry tells.
set "today="
set "stamp="
for /f "tokens=2 delims==" %%d in ('wmic os get localdatetime /value 2^>nul ^<nul') do if not defined stamp set "stamp=%%d"
if defined stamp set "today=%stamp:~0,4%-%stamp:~4,2%-%stamp:~6,2%"
call :is_date && exit /b 0
set "stamp="
for /f "tokens=1" %%d in ('robocopy "|" . /njh /njs 2^>nul ^<nul') do if not defined stamp set "stamp=%%d"
if defined stamp set "today=%stamp:/=-%"
call :is_date && exit /b 0
call :today_by_registry
call :is_date || set "today=0000-00-00"
exit /b 0

:is_date
if not defined today exit /b 1
if "%today:~0,9%"=="%today%" exit /b 1
if not "%today:~0,10%"=="%today%" exit /b 1
if not "%today:~4,1%%today:~7,1%"=="--" exit /b 1
for /f "delims=0123456789" %%c in ("0%today:-=%") do exit /b 1
exit /b 0

:today_by_registry
set "order="
for /f "tokens=1,2*" %%a in ('reg query "HKCU\Control Panel\International" /v sShortDate 2^>nul ^<nul') do if "%%b"=="REG_SZ" set "order=%%c"
if not defined order set "order=yyyy"
set "order=%order:~0,1%"
set "d1="
set "d2="
set "d3="
for /f "tokens=1-6 delims=/.- " %%a in ("%date%") do for %%n in (%%a %%b %%c %%d) do set "part=%%n" & call :date_part
if not defined d3 exit /b 1
if /i "%order%"=="y" set "year=%d1%" & set "month=%d2%" & set "day=%d3%"
if "%order%"=="M" set "year=%d3%" & set "month=%d1%" & set "day=%d2%"
if "%order%"=="d" set "year=%d3%" & set "month=%d2%" & set "day=%d1%"
if "%year:~0,2%"=="%year%" set "year=20%year%"
set "month=0%month%"
set "day=0%day%"
set "today=%year%-%month:~-2%-%day:~-2%"
exit /b 0

:date_part
for /f "delims=0123456789" %%c in ("0%part%") do exit /b 1
if not defined d1 set "d1=%part%" & exit /b 0
if not defined d2 set "d2=%part%" & exit /b 0
if not defined d3 set "d3=%part%"
exit /b 0

:do_boot
rem boot: a word that changes with every start of the machine, and with nothing else
set "boot="
for /f "tokens=1-3" %%a in ('reg query "HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters" /v BootId 2^>nul ^<nul') do if "%%b"=="REG_DWORD" set "boot=%%c"
if defined boot exit /b 0
for /f "tokens=2 delims==" %%d in ('wmic os get lastbootuptime /value 2^>nul ^<nul') do for /f "tokens=1" %%v in ("%%d") do set "boot=%%v"
if defined boot exit /b 0
for /f "tokens=1" %%d in ('powershell -NoProfile -NonInteractive -Command "(Get-WmiObject Win32_OperatingSystem).LastBootUpTime" 2^>nul ^<nul') do set "boot=%%d"
if not defined boot set "boot=unknown"
exit /b 0

:do_elevated
rem Is this token an administrator's, and whole? By numbers, the names are translated.
set "groups=user"
set "high="
set "admin="
set "said="
for /f "tokens=*" %%l in ('whoami /groups /fo csv /nh 2^>nul ^<nul') do set "line=%%l" & call :group_line
rem A whoami that does not know groups: whoever may read our programs is an administrator.
if not defined said set "groups=admin" & exit /b 0
if defined admin set "groups=admin-filtered"
if defined high set "groups=admin" & exit /b 0
exit /b 1

:group_line
setlocal enabledelayedexpansion
set "hit="
if not "!line:S-1-=!"=="!line!" set "hit=s"
if not "!line:S-1-5-32-544=!"=="!line!" set "hit=a"
if not "!line:S-1-16-12288=!"=="!line!" set "hit=h"
if not "!line:S-1-16-16384=!"=="!line!" set "hit=h"
endlocal & set "hit=%hit%"
if defined hit set "said=yes"
if "%hit%"=="a" set "admin=yes"
if "%hit%"=="h" set "high=yes"
exit /b 0

:do_pids
rem pids: of the processes whose command line holds the words in mark. listed: whether anybody could tell.
set "pids="
set "listed="
set "found="
if not exist "%sys%\wbem\wmic.exe" goto :pids_powershell
for /f "tokens=1* delims==" %%a in ('wmic process get commandline^,processid /value 2^>nul ^<nul') do for /f "delims=" %%v in ("%%b") do (
    if "%%a"=="CommandLine" set "found=%%v"
    if "%%a"=="ProcessId" set "id=%%v" & call :pid_line
)
if defined listed exit /b 0
:pids_powershell
set "LANDFALL_MARK=%mark%"
for /f "tokens=1,2" %%a in ('powershell -NoProfile -NonInteractive -Command "Get-WmiObject Win32_Process | ForEach-Object { $hit = 'no'; if ($_.CommandLine -and $_.CommandLine.Contains($env:LANDFALL_MARK)) { $hit = 'yes' }; $hit + ' ' + $_.ProcessId }" 2^>nul ^<nul') do (
    set "listed=yes"
    if "%%a"=="yes" set "id=%%b" & call :add_pid
)
exit /b 0

:pid_line
set "listed=yes"
set "hit="
setlocal enabledelayedexpansion
if defined found if not "!found:%mark%=!"=="!found!" set "hit=yes"
endlocal & set "hit=%hit%"
set "found="
if defined hit call :add_pid
exit /b 0

:add_pid
for /f "delims=0123456789" %%c in ("0%id%") do exit /b 1
set "pids=%pids% %id%"
exit /b 0

:do_pids_below
rem pids: of the processes whose program lies below home
set "pids="
set "listed="
set "found="
set "LANDFALL_HOME=%home%\"
if not exist "%sys%\wbem\wmic.exe" goto :below_powershell
for /f "tokens=1* delims==" %%a in ('wmic process get executablepath^,processid /value 2^>nul ^<nul') do for /f "delims=" %%v in ("%%b") do (
    if "%%a"=="ExecutablePath" set "found=%%v"
    if "%%a"=="ProcessId" set "id=%%v" & call :below_line
)
if defined listed exit /b 0
:below_powershell
for /f "tokens=1,2" %%a in ('powershell -NoProfile -NonInteractive -Command "Get-WmiObject Win32_Process | ForEach-Object { $hit = 'no'; if ($_.ExecutablePath -and $_.ExecutablePath.StartsWith($env:LANDFALL_HOME, [StringComparison]::OrdinalIgnoreCase)) { $hit = 'yes' }; $hit + ' ' + $_.ProcessId }" 2^>nul ^<nul') do (
    set "listed=yes"
    if "%%a"=="yes" set "id=%%b" & call :add_pid
)
exit /b 0

:below_line
set "listed=yes"
set "dir=%found%"
set "base=%home%"
set "found="
if defined dir call :do_within && call :add_pid
exit /b 0

:do_within
rem Is dir the same as base, or below it? Up from parent to parent; the beginning tells most at once.
set "walk=%dir%"
if not "%walk:~1,2%"==":\" exit /b 1
if /i not "%walk:~0,4%"=="%base:~0,4%" exit /b 1
:walk
if /i "%walk%"=="%base%" exit /b 0
for %%p in ("%walk%") do set "walk=%%~dpp"
if "%walk:~0,3%"=="%walk%" exit /b 1
set "walk=%walk:~0,-1%"
goto :walk

:do_sha
rem sha: the SHA-256 of file in hex, empty when nobody can tell. The child reads the name from the environment.
set "sha="
for /f "tokens=*" %%h in ('certutil -hashfile "%%file%%" SHA256 2^>nul ^<nul') do set "line=%%h" & call :sha_line
if defined sha exit /b 0
for /f "tokens=1" %%h in ('powershell -NoProfile -NonInteractive -Command "$s = [IO.File]::OpenRead($env:file); [BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($s)).Replace('-', '').ToLower()" 2^>nul ^<nul') do set "line=%%h" & call :sha_line
if defined sha exit /b 0
exit /b 1

:sha_line
if defined sha exit /b 0
set "line=%line: =%"
if not defined line exit /b 1
if "%line:~0,63%"=="%line%" exit /b 1
if not "%line:~0,64%"=="%line%" exit /b 1
for /f "delims=0123456789abcdefABCDEF" %%c in ("0%line%") do exit /b 1
set "sha=%line%"
exit /b 0

:do_free_kb
rem free_kb: room under dir or its nearest ancestor (near), 999999999 when unknown. The last number of `dir`, in any language.
call :do_nearest
set "bytes="
set "line="
for /f "tokens=*" %%l in ('dir /-c "%%near%%" 2^>nul ^<nul') do set "line=%%l"
if defined line for /f "tokens=1-8" %%a in ("%line%") do for %%t in ("%%a" "%%b" "%%c" "%%d" "%%e" "%%f" "%%g" "%%h") do set "number=%%~t" & call :free_number
set "kb=999999999"
if defined bytes call :do_to_kb
set "free_kb=%kb%"
exit /b 0

:free_number
if not defined number exit /b 1
for /f "delims=0123456789" %%c in ("0%number%") do exit /b 1
set "bytes=%number%"
exit /b 0

:do_nearest
set "near=%dir%"
:nearer
if exist "%near%\" exit /b 0
for %%p in ("%near%") do set "near=%%~dpp"
if "%near:~0,3%"=="%near%" exit /b 0
set "near=%near:~0,-1%"
goto :nearer

:do_to_kb
rem kb: bytes / 1024, in 32 bits; from a terabyte on it is plenty
set "kb=999999999"
if not "%bytes:~0,12%"=="%bytes%" exit /b 0
if "%bytes:~0,9%"=="%bytes%" set /a "kb=%bytes%/1024" & exit /b 0
set "millions=%bytes:~0,-6%"
if "%millions:~0,5%"=="%millions%" set /a "kb=%millions%*15625/16" & exit /b 0
set /a "kb=%millions%/16*15625"
exit /b 0

:do_is_number
rem Is number a number of at most nine digits? Without the zeros that would make it octal.
if not defined number exit /b 1
if not "%number:~0,9%"=="%number%" exit /b 1
for /f "delims=0123456789" %%c in ("0%number%") do exit /b 1
:no_zeros
if "%number:~0,1%"=="0" if not "%number%"=="0" set "number=%number:~1%" & goto :no_zeros
exit /b 0

:do_is_word
rem Is word made of letters, digits, - and _ (a name below a directory of ours), with dots inside?
if not defined word exit /b 1
if "%word:~0,1%"=="." exit /b 1
if not "%word:..=%"=="%word%" exit /b 1
for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-" %%c in ("a%word%") do exit /b 1
exit /b 0

:do_is_sha
rem Is word a SHA-256 in hex?
if not defined word exit /b 1
if "%word:~0,63%"=="%word%" exit /b 1
if not "%word:~0,64%"=="%word%" exit /b 1
for /f "delims=0123456789abcdef" %%c in ("0%word%") do exit /b 1
exit /b 0

:do_kill
rem Ends the processes in pids and their children, and waits until none of those with mark is left: 10 s.
for %%p in (%pids%) do taskkill /t /f /pid %%p >nul 2>nul <nul
for /l %%i in (1,1,10) do call :still_there || exit /b 0
call :do_pids
if defined pids exit /b 1
exit /b 0

:still_there
call :do_pids
if not defined pids exit /b 1
for %%p in (%pids%) do taskkill /t /f /pid %%p >nul 2>nul <nul
ping -n 2 127.0.0.1 >nul
exit /b 0

:do_prune_runs
rem Takes away old runs beyond the newest keep_runs. living: a run without an exit file that lives. Names are ASCII words.
set "living="
set "kept_runs=0"
for /f "delims=" %%r in ('dir /b /ad /o-d "%%state%%\runs" 2^>nul ^<nul') do set "old=%%r" & call :prune_run
exit /b 0

:prune_run
set "word=%old%"
call :do_is_word || exit /b 0
set /a "kept_runs+=1"
set "over=yes"
if not exist "%state%\runs\%old%\exit" call :run_lives
if not defined over set "living=yes" & exit /b 0
if %kept_runs% gtr %keep_runs% rd /s /q "%state%\runs\%old%" 2>nul
exit /b 0

:run_lives
set "mark=main %old% "
call :do_pids
if defined pids set "over="
if not defined listed set "over="
exit /b 0
