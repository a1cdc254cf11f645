/**
 * Text of one message, in bytes of UTF-8: its bundle and envelope then fit the mailbox's 64 KiB padding class. Apart from
 * the codecs, so that a client command has it without them.
 */
export const MAX_TEXT_BYTES = 48 * 1024;
