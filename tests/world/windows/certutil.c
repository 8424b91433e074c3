/* certutil -hashfile FILE SHA256. Built with -DOLD it writes as Windows Server 2012 does on a Chinese system: words of two digits. */
#include "win.h"
#include <bcrypt.h>

static int failed(DWORD code, const WCHAR *name)
{
    WCHAR words[512] = L"";

    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0, words, 512, NULL);
    say(OUTPUT, L"CertUtil: -hashfile command FAILED: 0x%08lx (WIN32: %lu %ls)\r\nCertUtil: %ls", 0x80070000 | code, code, name, words);
    return (int)(0x80070000 | code);
}

static BOOL hash(FILE *file, BYTE *sum)
{
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_HASH_HANDLE state;
    static BYTE block[1 << 16];
    size_t size;

    if (BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, 0) ||
        BCryptCreateHash(algorithm, &state, NULL, 0, NULL, 0, 0))
        return FALSE;
    while ((size = fread(block, 1, sizeof block, file)) > 0)
        BCryptHashData(state, block, (ULONG)size, 0);
    return !BCryptFinishHash(state, sum, 32, 0);
}

int wmain(int count, WCHAR **words)
{
    WCHAR hex[32 * 3 + 1] = L"";
    BYTE sum[32];
    FILE *file;

    if (count != 4 || _wcsicmp(words[1], L"-hashfile") || _wcsicmp(words[3], L"SHA256"))
        return unknown(L"certutil", count > 1 ? words[1] : L"");
    if (!(file = _wfopen(words[2], L"rb")))
        return failed(ERROR_FILE_NOT_FOUND, L"ERROR_FILE_NOT_FOUND");
    _fseeki64(file, 0, SEEK_END);
    /* As the real one, which maps the file. */
    if (_ftelli64(file) == 0)
        return failed(ERROR_FILE_INVALID, L"ERROR_FILE_INVALID");
    rewind(file);
    if (!hash(file, sum))
        return failed(ERROR_NOT_SUPPORTED, L"ERROR_NOT_SUPPORTED");
    for (int i = 0; i < 32; i++)
#ifdef OLD
        swprintf(hex + wcslen(hex), 4, i ? L" %02x" : L"%02x", sum[i]);
    say(OUTPUT, L"SHA256 哈希(文件 %ls):\r\n%ls\r\nCertUtil: -hashfile 命令成功完成。\r\n", words[2], hex);
#else
        swprintf(hex + wcslen(hex), 4, L"%02x", sum[i]);
    say(OUTPUT, L"SHA256 hash of %ls:\r\n%ls\r\nCertUtil: -hashfile command completed successfully.\r\n", words[2], hex);
#endif
    return 0;
}
