rem What manual.bat says to the server, and how it is answered. Bodies are lines KEY=VALUE, an empty line, and bytes as they are.
rem It never puts the token anywhere but into bodies.
rem
rem Comes after manual.bat. All of it is called with work as the current directory.

:body
rem WORD=WORD ...: what is sent next, but for what is appended to it. Arguments come apart at the equals sign.
copy /y /b head body >nul
:body_line
if "%~1"=="" >>body echo.
if "%~1"=="" exit /b 0
>>body echo %~1=%~2
shift
shift
goto :body_line

:post
rem PATH FILE: the answer into FILE; code: its status, 000 without one
set "code=000"
if exist %2 del /f /q %2
set "lf_url=%lf_base%%~1"
set "lf_out=%~2"
set "lf_how=Create"
if not "%tool%"=="curl" goto :by_powershell
curl -gsS --connect-timeout 15 --speed-limit 1 --speed-time 60 -o %2 -w "%%{http_code}" -H "Content-Type: text/x-landfall" --data-binary @body "%lf_url%" >code 2>why <nul
for /f "usebackq" %%c in ("code") do set "code=%%c"
rem Of nothing curl makes no file.
if "%code%"=="200" if not exist %2 type nul >%2
exit /b 0

:append
rem FILE: bytes of a part behind what is there; ends early with the line
if not "%tool%"=="curl" goto :append_by_powershell
rem -f: the words of a refusal are no bytes of a package.
curl -gfsS --connect-timeout 15 --speed-limit 1 --speed-time 60 -H "Content-Type: text/x-landfall" --data-binary @body "%lf_base%/backend/fetch/" >>%1 2>why <nul
exit /b 0

:append_by_powershell
set "lf_url=%lf_base%/backend/fetch/"
set "lf_out=%~1"
set "lf_how=Append"
:by_powershell
powershell -NoProfile -NonInteractive -Command "$c='000'; try {[Net.ServicePointManager]::SecurityProtocol=3072} catch {}; try {$q=[Net.WebRequest]::Create($env:lf_url); $q.Method='POST'; $q.ContentType='text/x-landfall'; $q.Timeout=60000; $q.ReadWriteTimeout=60000; $b=[IO.File]::ReadAllBytes('body'); $s=$q.GetRequestStream(); $s.Write($b,0,$b.Length); $s.Close(); $a=$q.GetResponse(); $f=New-Object IO.FileStream($env:lf_out,$env:lf_how); $p=New-Object byte[] 65536; $s=$a.GetResponseStream(); while (($n=$s.Read($p,0,65536)) -gt 0) {$f.Write($p,0,$n)}; $c=[int]$a.StatusCode} catch {$e=$_.Exception; while ($e -and -not $e.Response) {$e=$e.InnerException}; if ($e) {$c=[int]$e.Response.StatusCode}}; if ($f) {$f.Close()}; $c" >code 2>why <nul
for /f "usebackq" %%c in ("code") do set "code=%%c"
exit /b 0

:ask
rem PATH FILE: again and again, until there is an answer
set "try=0"
:ask_again
call :post %1 %2
if "%code%"=="200" exit /b 0
if "%code%"=="401" goto :unknown
if "%code%"=="403" goto :unknown
set /a "try+=1"
if %try% geq %tries% echo landfall: the server cannot be reached, or refuses (%code%)& exit 75
set /a "pause=try*5+1"
ping -n %pause% 127.0.0.1 >nul
goto :ask_again
:unknown
echo landfall: the server knows this script no more: the host task has ended, was cancelled, or another command was run for it
call :stop_run
exit 1

:report
rem STEP STATUS, what it says in text
call :body step=%1 status=%2 level=INFO codepage=%oem% text=log
if defined text call :append_text
call :ask /backend/report_log/ answer
if "%1"=="cancel" exit /b 0
:answered
rem That the host task has ended, the script sees by having no step left.
set "told="
for /f "usebackq tokens=1,2 delims==" %%a in ("answer") do if "%%a"=="told" set "told=%%b"
if not "%told%"=="cancel" exit /b 0
echo landfall: the job was cancelled
call :stop_run
set "text=%stopped%"
call :report cancel DONE
exit 1

:append_text
setlocal enabledelayedexpansion
>>body echo !text!
endlocal
exit /b 0

:beat
call :body
call :ask /backend/report_log/ answer
goto :answered

:begin
echo landfall: %1 begins
set "text="
call :report %1 START
exit /b 0

:done_with
rem STEP, the word of the program in text
call :report %1 DONE
echo landfall: %1 done
exit /b 0

:failed
rem STEP, code and words in text
setlocal enabledelayedexpansion
echo landfall: %1 FAILED: !text!
endlocal
call :report %1 FAILED
exit 1
