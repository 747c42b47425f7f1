/* This is a generated file, edit the .stub.php file instead.
 * Stub hash: 57bf1617e097c17aaf281ffb8c15796f78581be6 */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_status, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_flush, 0, 0, _IS_BOOL, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, timeout_ms, IS_LONG, 0, "1000")
ZEND_END_ARG_INFO()


ZEND_FUNCTION(mmsession_status);
ZEND_FUNCTION(mmsession_flush);


static const zend_function_entry ext_functions[] = {
	ZEND_FE(mmsession_status, arginfo_mmsession_status)
	ZEND_FE(mmsession_flush, arginfo_mmsession_flush)
	ZEND_FE_END
};
