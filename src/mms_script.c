/* The scripts' text. The difficulty is the put script: it is the merge on the server, must order records exactly as
 * mms_version_compare() does, and runs for every write. Numbers are unpacked into parts below 2^53 (a Lua number holds no
 * more), and strings are only ever compared for equality: `<` is strcoll there and depends on the server's locale. */
#include "mms_script.h"

#include "mms_record.h"

_Static_assert(MMS_RECORD_HEADER_SIZE == 80, "the scripts know the size of the header");

/* Bytes of s: what stands at the key. WRONGTYPE and whatever else the key may hold is not ours. */
#define LUA_READ \
	"local k,h=KEYS[1],ARGV[1]\n" \
	"local s=redis.pcall('GETRANGE',k,0,79)\n"

#define LUA_NOT_A_STRING \
	"if type(s)~='string' then\n" \
	" if string.find(s.err,'WRONGTYPE',1,true) then return 3 end\n" \
	" return s\n" \
	"end\n"

/* n: is h newer than s? nil when they are the same version. Leaves the flags in f (of s) and g (of h). */
#define LUA_COMPARE \
	"local n,g,b1,b2,b3,b4,b5,b6,b7,b8\n" \
	"local f,a1,a2,a3,a4,a5,a6,a7,a8=struct.unpack('>BxxxI6I2I6I2I4I4I4I4',s,5)\n" \
	"g,b1,b2,b3,b4,b5,b6,b7,b8=struct.unpack('>BxxxI6I2I6I2I4I4I4I4',h,5)\n" \
	"if a1~=b1 then n=b1>a1\n" \
	"elseif a2~=b2 then n=b2>a2\n" \
	"elseif (f%4>1)~=(g%4>1) then n=f%4>1\n" \
	"elseif f%2~=g%2 then n=g%2==1\n" \
	"elseif a3~=b3 then n=b3>a3\n" \
	"elseif a4~=b4 then n=b4>a4\n" \
	"elseif a5~=b5 then n=b5>a5\n" \
	"elseif a6~=b6 then n=b6>a6\n" \
	"elseif a7~=b7 then n=b7>a7\n" \
	"elseif a8~=b8 then n=b8>a8 end\n"

/* Is the value as long as its header says? A tombstone is a header alone. */
#define LUA_WHOLE \
	"redis.call('STRLEN',k)==80+(f%2==1 and 0 or struct.unpack('>I4',s,69))"

/* Behind LUA_COMPARE, where h is newer: is s a write that h's request has not read? It has read what h is based on (bytes 40 to
 * 63), and on one node whatever that had replaced. A logout replaces on purpose, and a new incarnation what was dead. */
#define LUA_UNREAD \
	"if f%2==0 and g%2==0 and a1==b1 and a2==b2 then\n" \
	" local c3,c4,c5,c6,c7,c8=struct.unpack('>I6I2I4I4I4I4',h,41)\n" \
	" if a3>c3 or a3==c3 and (a4>c4 or a4==c4 and (a5>c5 or a5==c5\n" \
	"  and (a6>c6 or a6==c6 and (a7>c7 or a7==c7 and a8>c8)))) then u=6 end\n" \
	"end\n"

/* KEYS: key, tmp. ARGV: header, ttl_ms, grace_ms, expected. 1 stored, 6 stored over a write that it had not read, 2 equal,
 * {3, head} foreign, {4, header, pttl} newer, {4, header, pttl, 1} damaged. The TTL is set on tmp before the rename, not on the key after:
 * were PEXPIRE denied to us, the session would have taken over the few seconds of tmp. */
static const char put_script[] =
	LUA_READ
	"local t=KEYS[2]\n"
	"if s=='' then\n"
	" redis.call('PEXPIRE',t,ARGV[2])\n"
	" redis.call('RENAME',t,k)\n"
	" return 1\n"
	"end\n"
	"local e=s==ARGV[4] and s~=''\n"
	"if type(s)~='string' or not e and (#s<80 or string.sub(s,1,4)~='MMS\\1') then\n"
	" redis.call('DEL',t)\n"
	" " LUA_NOT_A_STRING
	" return {3,s}\n"
	"end\n"
	"local p=redis.call('PTTL',k)\n"
	"local l=tonumber(ARGV[2])\n"
	"local w,u=p,1\n"
	"if not e then\n"
	LUA_COMPARE
	" if not n then\n"
	"  redis.call('DEL',t)\n"
	"  if n==nil and s~=h or not (" LUA_WHOLE ") then return {4,s,p,1} end\n"
	"  if p>=0 and l>p and (n==nil or f%2==0 and g%2==0) then\n"
	"   redis.call('PEXPIRE',k,l)\n"
	"   p=l\n"
	"  end\n"
	"  if n==nil then return 2 end\n"
	"  return {4,s,p}\n"
	" end\n"
	" if p>0 and g%2==1 and f%2==0 then w=p+tonumber(ARGV[3]) end\n"
	" " LUA_UNREAD
	"end\n"
	"redis.call('PEXPIRE',t,w>l and w or l)\n"
	"redis.call('RENAME',t,k)\n"
	"return u\n";

/* KEYS: key. ARGV: header, ttl_ms. 1 touched, {3, head} foreign, {4, header, pttl} newer or a tombstone,
 * {4, header, pttl, 1} newer but damaged, 5 lacking. */
static const char touch_script[] =
	LUA_READ
	LUA_NOT_A_STRING
	"if s=='' then return 5 end\n"
	"if #s<80 or string.sub(s,1,4)~='MMS\\1' then return {3,s} end\n"
	LUA_COMPARE
	"if s~=h and n~=false then return 5 end\n"
	"local p=redis.call('PTTL',k)\n"
	"local l=tonumber(ARGV[2])\n"
	"if not (" LUA_WHOLE ") then\n"
	" if s==h then return 5 end\n"
	" return {4,s,p,1}\n"
	"end\n"
	"if f%2==1 then return {4,s,p} end\n"
	"if p>=0 and l>p then\n"
	" redis.call('PEXPIRE',k,l)\n"
	" p=l\n"
	"end\n"
	"if s==h then return 1 end\n"
	"return {4,s,p}\n";

/* KEYS: key. ARGV: value[, field of a hash]. */
static const char delete_if_script[] =
	"local v\n"
	"if ARGV[2] then v=redis.pcall('HGET',KEYS[1],ARGV[2]) else v=redis.pcall('GET',KEYS[1]) end\n"
	"if v~=ARGV[1] then return 0 end\n"
	"if ARGV[2] then return redis.call('HDEL',KEYS[1],ARGV[2]) end\n"
	"return redis.call('DEL',KEYS[1])\n";

static const char replace_if_script[] =
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if (v or '')~=ARGV[1] then return 0 end\n"
	"if ARGV[3]~='0' then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) else redis.call('SET',KEYS[1],ARGV[2]) end\n"
	"return 1\n";

static const struct mms_script_source scripts[MMS_SCRIPT_COUNT] = {
	[MMS_SCRIPT_PUT] = {put_script, sizeof(put_script) - 1, "b88efda3904128c433eda8cf2ca32ef28da4f1d9"},
	[MMS_SCRIPT_TOUCH] = {touch_script, sizeof(touch_script) - 1, "f857c11dd55349daac42d80e0ad66f992a183680"},
	[MMS_SCRIPT_DELETE_IF] = {delete_if_script, sizeof(delete_if_script) - 1,
		"1666e46765fec41a3c0b5f0080c6a1bf44f9510c"},
	[MMS_SCRIPT_REPLACE_IF] = {replace_if_script, sizeof(replace_if_script) - 1,
		"dfd6eb71d954a22b8e3c7604033fc256250bd86e"},
};

const struct mms_script_source *mms_script(enum mms_script script)
{
	return &scripts[script];
}
