/* This is a generated file, edit the .stub.php file instead.
 * Stub hash: 1ea420b8a67ba326e81987891080f16665de9b98 */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_status, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_flush, 0, 0, _IS_BOOL, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, timeout_ms, IS_LONG, 0, "1000")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_token, 0, 0, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, token, IS_STRING, 1, "null")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_mmsession_repair, 0, 0, IS_ARRAY, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, node, IS_STRING, 1, "null")
ZEND_END_ARG_INFO()


ZEND_FUNCTION(mmsession_status);
ZEND_FUNCTION(mmsession_flush);
ZEND_FUNCTION(mmsession_token);
ZEND_FUNCTION(mmsession_repair);


static const zend_function_entry ext_functions[] = {
	ZEND_FE(mmsession_status, arginfo_mmsession_status)
	ZEND_FE(mmsession_flush, arginfo_mmsession_flush)
	ZEND_FE(mmsession_token, arginfo_mmsession_token)
	ZEND_FE(mmsession_repair, arginfo_mmsession_repair)
	ZEND_FE_END
};
