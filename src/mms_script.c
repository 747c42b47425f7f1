/* The scripts' text. The difficulty is the put script: it is the merge on the server, must order records exactly as
 * mms_version_compare() does, and runs for every write. Numbers are unpacked into parts below 2^53 (a Lua number holds no
 * more), and strings are only ever compared for equality: `<` is strcoll there and depends on the server's locale. */
#include "mms_script.h"

#include "mms_record.h"

_Static_assert(MMS_RECORD_HEADER_SIZE == 80, "the scripts know the size of the header");

/* Added to the remaining life of a record that a tombstone replaces. */
#define LUA_GRACE_MS "3600000"
_Static_assert(MMS_TOMBSTONE_GRACE_MS == 3600000, "the put script knows the grace of a tombstone");

/* Bytes of s: what stands at the key. WRONGTYPE and whatever else the key may hold is not ours. */
#define LUA_READ \
	"local k,call,sub,unpack=KEYS[1],redis.call,string.sub,struct.unpack\n" \
	"local s=redis.pcall('GETRANGE',k,0,79)\n"

#define LUA_NOT_A_STRING \
	"if type(s)~='string' then\n" \
	" if string.find(s.err,'WRONGTYPE',1,true) then return 3 end\n" \
	" return s\n" \
	"end\n"

/* n: is h newer than s? nil when they are the same version. Leaves the flags in f (of s) and g (of h), and in o whether they and
 * the incarnations are the same, as they are but for a logout and what follows it. Field by field, as far as it takes: mostly
 * the HLC decides. */
#define LUA_COMPARE \
	"local n\n" \
	"local f,g=string.byte(s,5),string.byte(h,5)\n" \
	"local o=sub(s,5,16)==sub(h,5,16)\n" \
	"if not o then\n" \
	" local a1,a2=unpack('>I6I2',s,9)\n" \
	" local b1,b2=unpack('>I6I2',h,9)\n" \
	" if a1~=b1 then n=b1>a1\n" \
	" elseif a2~=b2 then n=b2>a2\n" \
	" elseif (f%4>1)~=(g%4>1) then n=f%4>1\n" \
	" elseif f%4>1 and sub(s,6,8)~=sub(h,6,8) then n=unpack('>I3',h,6)>unpack('>I3',s,6)\n" \
	" elseif f%2~=g%2 then n=g%2==1 end\n" \
	"end\n" \
	"if n==nil then\n" \
	" local a3,a4=unpack('>I6I2',s,17)\n" \
	" local b3,b4=unpack('>I6I2',h,17)\n" \
	" if a3~=b3 then n=b3>a3\n" \
	" elseif a4~=b4 then n=b4>a4\n" \
	" else\n" \
	"  local a5,a6,a7,a8=unpack('>I4I4I4I4',s,25)\n" \
	"  local b5,b6,b7,b8=unpack('>I4I4I4I4',h,25)\n" \
	"  if a5~=b5 then n=b5>a5\n" \
	"  elseif a6~=b6 then n=b6>a6\n" \
	"  elseif a7~=b7 then n=b7>a7\n" \
	"  elseif a8~=b8 then n=b8>a8 end\n" \
	" end\n" \
	"end\n"

/* Is the value as long as its header says? A tombstone is a header alone. */
#define LUA_WHOLE \
	"call('STRLEN',k)==80+(f%2==1 and 0 or unpack('>I4',s,69))"

/* Behind LUA_COMPARE, where h is newer: is s a write that h's request has not read? It has read what h is based on (bytes 40 to
 * 63), and on one node whatever that had replaced. A logout replaces on purpose, and a new incarnation what was dead. */
#define LUA_UNREAD \
	"if sub(s,17,40)~=sub(h,41,64) and f%2==0 and g%2==0 and (o or sub(s,9,16)==sub(h,9,16)) then\n" \
	" local a3,a4,a5,a6,a7,a8=unpack('>I6I2I4I4I4I4',s,17)\n" \
	" local c3,c4,c5,c6,c7,c8=unpack('>I6I2I4I4I4I4',h,41)\n" \
	" if a3>c3 or a3==c3 and (a4>c4 or a4==c4 and (a5>c5 or a5==c5\n" \
	"  and (a6>c6 or a6==c6 and (a7>c7 or a7==c7 and a8>c8)))) then u=6 end\n" \
	"end\n"

/* KEYS: key, tmp. ARGV: [ttl_ms[, expected]]; without it the header's longest lifetime. 1 stored, 6 stored over a write that it
 * had not read, 2 equal, {3, head} foreign, {4, header, pttl} newer, {4, header, pttl, 1} damaged. The new header is read from
 * tmp: 87 bytes less on the wire for every write and node, and no dearer for the server than to parse them. The TTL is set on
 * tmp before the rename, not on the key after: were PEXPIRE denied to us, the session would have taken over the few seconds of
 * tmp. */
static const char put_script[] =
	LUA_READ
	"local t=KEYS[2]\n"
	"local h=call('GETRANGE',t,0,79)\n"
	"if h=='' then return redis.error_reply('ERR no such key') end\n"
	"local l=tonumber(ARGV[1]) or 1000*unpack('>I4',h,65)\n"
	"if s=='' then\n"
	" call('PEXPIRE',t,l)\n"
	" call('RENAME',t,k)\n"
	" return 1\n"
	"end\n"
	"local e=s==ARGV[2]\n"
	"if type(s)~='string' or not e and (#s<80 or sub(s,1,4)~='MMS\\1') then\n"
	" call('DEL',t)\n"
	" " LUA_NOT_A_STRING
	" return {3,s}\n"
	"end\n"
	"local p=call('PTTL',k)\n"
	"local w,u=p,1\n"
	"if not e then\n"
	LUA_COMPARE
	" if not n then\n"
	"  call('DEL',t)\n"
	"  if n==nil and s~=h or not (" LUA_WHOLE ") then return {4,s,p,1} end\n"
	"  if p>=0 and l>p and (n==nil or f%2==0 and g%2==0) then\n"
	"   call('PEXPIRE',k,l)\n"
	"   p=l\n"
	"  end\n"
	"  if n==nil then return 2 end\n"
	"  return {4,s,p}\n"
	" end\n"
	" if p>0 and g%2==1 and f%2==0 then w=p+" LUA_GRACE_MS " end\n"
	" " LUA_UNREAD
	"end\n"
	"call('PEXPIRE',t,w>l and w or l)\n"
	"call('RENAME',t,k)\n"
	"return u\n";

/* KEYS: key. ARGV: header, ttl_ms. 1 touched, {3, head} foreign, {4, header, pttl} newer or a tombstone,
 * {4, header, pttl, 1} newer but damaged, 5 lacking. */
static const char touch_script[] =
	LUA_READ
	"local h=ARGV[1]\n"
	LUA_NOT_A_STRING
	"if s=='' then return 5 end\n"
	"if #s<80 or sub(s,1,4)~='MMS\\1' then return {3,s} end\n"
	LUA_COMPARE
	"if s~=h and n~=false then return 5 end\n"
	"local p=call('PTTL',k)\n"
	"local l=tonumber(ARGV[2])\n"
	"if not (" LUA_WHOLE ") then\n"
	" if s==h then return 5 end\n"
	" return {4,s,p,1}\n"
	"end\n"
	"if f%2==1 then return {4,s,p} end\n"
	"if p>=0 and l>p then\n"
	" call('PEXPIRE',k,l)\n"
	" p=l\n"
	"end\n"
	"if s==h then return 1 end\n"
	"return {4,s,p}\n";

/* KEYS: key. ARGV: value[, field of a hash]. */
static const char delete_if_script[] =
	"local v\n"
	"if ARGV[2] then v=redis.pcall('HGET',KEYS[1],ARGV[2]) else v=redis.pcall('GET',KEYS[1]) end\n"
	"if type(v)=='table' and not string.find(v.err,'WRONGTYPE',1,true) then return v end\n"
	"if v~=ARGV[1] then return 0 end\n"
	"if ARGV[2] then return redis.call('HDEL',KEYS[1],ARGV[2]) end\n"
	"return redis.call('DEL',KEYS[1])\n";

static const char replace_if_script[] =
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if type(v)=='table' then return v end\n"
	"if (v or '')~=ARGV[1] then return 0 end\n"
	"if ARGV[3]~='0' then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) else redis.call('SET',KEYS[1],ARGV[2]) end\n"
	"return 1\n";

static const struct mms_script_source scripts[MMS_SCRIPT_COUNT] = {
	[MMS_SCRIPT_PUT] = {put_script, sizeof(put_script) - 1, "9faa26b2209b770cf7116479840c023c265c626e"},
	[MMS_SCRIPT_TOUCH] = {touch_script, sizeof(touch_script) - 1, "54650789c84921786158d92e0c6da379d2a1cfc4"},
	[MMS_SCRIPT_DELETE_IF] = {delete_if_script, sizeof(delete_if_script) - 1,
		"461535a47b25a79e121b081d9524d9832608023e"},
	[MMS_SCRIPT_REPLACE_IF] = {replace_if_script, sizeof(replace_if_script) - 1,
		"8840b456c8b888705bc4e8dff78089d04164a301"},
};

const struct mms_script_source *mms_script(enum mms_script script)
{
	return &scripts[script];
}
