dnl Build of the mmsession extension: phpize && ./configure && make
dnl
dnl src/ is a plain C library that knows nothing of PHP, ext/ the glue around it. They are compiled with the same
dnl flags but for the warnings of --enable-mmsession-dev: Zend's headers don't survive -Wconversion.

PHP_ARG_ENABLE([mmsession],
  [whether to enable the mmsession save handler],
  [AS_HELP_STRING([--enable-mmsession],
    [Enable the mmsession session save handler])])

PHP_ARG_ENABLE([mmsession-dev],
  [whether to build mmsession with its development warnings as errors],
  [AS_HELP_STRING([--enable-mmsession-dev],
    [mmsession: strict warnings, all of them errors])],
  [no],
  [no])

PHP_ARG_WITH([mmsession-tls],
  [whether to build mmsession with TLS (tls:// nodes)],
  [AS_HELP_STRING([--with-mmsession-tls],
    [mmsession: TLS by OpenSSL 1.1.1 or newer; by default where it is found])],
  [auto],
  [no])

if test "$PHP_MMSESSION" != "no"; then
  PKG_CHECK_MODULES([HIREDIS], [hiredis >= 0.14 hiredis < 2],, [AC_MSG_ERROR([
mmsession needs pkg-config and hiredis 0.14 to 1.x.
Debian, Ubuntu: apt-get install pkg-config libhiredis-dev
Others: the package is called hiredis-devel or hiredis.])])

  PKG_CHECK_MODULES([LIBEVENT], [libevent_core >= 2.1 libevent_extra >= 2.1],, [AC_MSG_ERROR([
mmsession needs pkg-config and libevent 2.1 or newer.
Debian, Ubuntu: apt-get install pkg-config libevent-dev
Others: the package is called libevent-devel or libevent.])])

  PKG_CHECK_MODULES([LIBISAL], [libisal],, [AC_MSG_ERROR([
mmsession needs pkg-config and ISA-L (CRC-32C).
Debian, Ubuntu: apt-get install pkg-config libisal-dev
Others: the package is called isa-l-devel or isa-l.])])

  PHP_EVAL_INCLINE([$LIBISAL_CFLAGS])
  PHP_EVAL_LIBLINE([$LIBISAL_LIBS], [MMSESSION_SHARED_LIBADD])
  PHP_EVAL_INCLINE([$HIREDIS_CFLAGS])
  PHP_EVAL_INCLINE([$LIBEVENT_CFLAGS])
  PHP_EVAL_LIBLINE([$HIREDIS_LIBS], [MMSESSION_SHARED_LIBADD])
  PHP_EVAL_LIBLINE([$LIBEVENT_LIBS], [MMSESSION_SHARED_LIBADD])

  MMSESSION_TLS_FLAGS=
  if test "$PHP_MMSESSION_TLS" != "no"; then
    PKG_CHECK_MODULES([MMSESSION_OPENSSL], [libssl >= 1.1.1 libcrypto >= 1.1.1], [MMSESSION_TLS_FLAGS=-DMMS_TLS],
      [if test "$PHP_MMSESSION_TLS" = "auto"; then
        AC_MSG_NOTICE([mmsession: no OpenSSL 1.1.1 or newer, so no TLS (Debian, Ubuntu: apt-get install libssl-dev)])
      else
        AC_MSG_ERROR([
mmsession needs pkg-config and OpenSSL 1.1.1 or newer for TLS.
Debian, Ubuntu: apt-get install pkg-config libssl-dev
Others: the package is called openssl-devel or openssl.])
      fi])
  fi
  if test -n "$MMSESSION_TLS_FLAGS"; then
    PHP_EVAL_INCLINE([$MMSESSION_OPENSSL_CFLAGS])
    PHP_EVAL_LIBLINE([$MMSESSION_OPENSSL_LIBS], [MMSESSION_SHARED_LIBADD])
  fi

  dnl The replicator thread may outlive the last reference to the module: without nodelete the code would be
  dnl unmapped beneath it when PHP closes its extensions.
  MMSESSION_SHARED_LIBADD="$MMSESSION_SHARED_LIBADD -pthread -Wl,-z,nodelete"
  PHP_SUBST([MMSESSION_SHARED_LIBADD])

  MMSESSION_CFLAGS="-std=gnu11 -D_GNU_SOURCE -pthread -fvisibility=hidden $MMSESSION_TLS_FLAGS -I@ext_srcdir@/src -I@ext_srcdir@/ext"
  MMSESSION_EXT_WARNINGS=
  MMSESSION_SRC_WARNINGS=
  if test "$PHP_MMSESSION_DEV" != "no"; then
    MMSESSION_EXT_WARNINGS="-Wall -Wextra -Wno-unused-parameter -Werror"
    MMSESSION_SRC_WARNINGS="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wconversion -Werror"
  fi

  mmsession_ext_sources="
    ext/mmsession.c
    ext/mod_mmsession.c
    ext/repair.c
    ext/settings.c
    ext/status.c
    ext/token.c
    ext/token_key.c"

  mmsession_src_sources="
    src/mms_address.c
    src/mms_aftermath.c
    src/mms_answer.c
    src/mms_avoided.c
    src/mms_backlog.c
    src/mms_base.c
    src/mms_breaker.c
    src/mms_checkpoint.c
    src/mms_client.c
    src/mms_clock.c
    src/mms_closed.c
    src/mms_closing.c
    src/mms_command.c
    src/mms_config.c
    src/mms_conn.c
    src/mms_delivery.c
    src/mms_descriptors.c
    src/mms_election.c
    src/mms_explain.c
    src/mms_enough.c
    src/mms_fanout.c
    src/mms_greeting.c
    src/mms_handshake.c
    src/mms_hints.c
    src/mms_hlc.c
    src/mms_hosts.c
    src/mms_identity.c
    src/mms_import.c
    src/mms_judge.c
    src/mms_keyset.c
    src/mms_last_words.c
    src/mms_lease.c
    src/mms_life.c
    src/mms_link.c
    src/mms_lock.c
    src/mms_mailbox.c
    src/mms_marker.c
    src/mms_meeting.c
    src/mms_mend.c
    src/mms_metrics.c
    src/mms_mirror.c
    src/mms_next.c
    src/mms_node_list.c
    src/mms_note.c
    src/mms_notes.c
    src/mms_opened.c
    src/mms_output.c
    src/mms_overlap.c
    src/mms_pairs.c
    src/mms_passes.c
    src/mms_process.c
    src/mms_put.c
    src/mms_quorum.c
    src/mms_read.c
    src/mms_reconcile.c
    src/mms_record.c
    src/mms_refresh.c
    src/mms_refusal.c
    src/mms_repair.c
    src/mms_replicator.c
    src/mms_reply.c
    src/mms_reply_class.c
    src/mms_reservation.c
    src/mms_resolver.c
    src/mms_retire.c
    src/mms_scan.c
    src/mms_scanned.c
    src/mms_script.c
    src/mms_settled.c
    src/mms_shm.c
    src/mms_sightings.c
    src/mms_spin.c
    src/mms_slow.c
    src/mms_socket.c
    src/mms_store.c
    src/mms_strangers.c
    src/mms_survey.c
    src/mms_tally.c
    src/mms_tending.c
    src/mms_tls.c
    src/mms_tls_none.c
    src/mms_tmp_key.c
    src/mms_token.c
    src/mms_upkeep.c
    src/mms_visit.c
    src/mms_watch.c
    src/mms_watermark.c
    src/mms_write.c"

  PHP_NEW_EXTENSION([mmsession], [$mmsession_ext_sources], [$ext_shared],,
    [$MMSESSION_CFLAGS $MMSESSION_EXT_WARNINGS])

  dnl PHP_NEW_EXTENSION has one set of flags, src/ has its own.
  mmsession_flags=`echo "$MMSESSION_CFLAGS $MMSESSION_SRC_WARNINGS" | $SED "s#@ext_srcdir@#$ext_srcdir#g"`
  if test "$ext_shared" = "no"; then
    PHP_ADD_SOURCES(PHP_EXT_DIR(mmsession), [$mmsession_src_sources], [$mmsession_flags])
  else
    PHP_ADD_SOURCES_X(PHP_EXT_DIR(mmsession), [$mmsession_src_sources], [$mmsession_flags],
      [shared_objects_mmsession], [yes])
  fi

  PHP_ADD_BUILD_DIR([$ext_builddir/ext])
  PHP_ADD_BUILD_DIR([$ext_builddir/src])
  PHP_ADD_EXTENSION_DEP(mmsession, session)
fi
