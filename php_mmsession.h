/* For a PHP that has mmsession built in (--enable-mmsession in its own tree): its build looks for this declaration here, beside
 * config.m4. The extension itself has it from ext/php_mmsession.h. */
#ifndef PHP_MMSESSION_MODULE_H
#define PHP_MMSESSION_MODULE_H

extern zend_module_entry mmsession_module_entry;
#define phpext_mmsession_ptr &mmsession_module_entry

#endif
