/**
 * Text of one message, in bytes of UTF-8: sealed in a bundle, it then fits a blob of 64 KiB. Apart from
 * the codecs, so that a client command has it without them.
 */
export const MAX_TEXT_BYTES = 48 * 1024;
