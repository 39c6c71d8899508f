/**
 * The protocol's error codes: name and retriability (https://kafka.apache.org/protocol.html#protocol_error_codes).
 */
export const errorName = (code: number): string => `${code}`
export const isRetriableCode = (_code: number): boolean => false
