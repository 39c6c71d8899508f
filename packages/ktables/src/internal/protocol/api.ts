/**
 * What a message module says about its request, and the one place where a request becomes bytes and bytes an answer.
 */
import { ProtocolViolation, Reader, Writer } from "./primitives.ts"

/** Every answer says how many milliseconds the broker wants the client to hold off (KIP-219). */
export interface Throttled {
  readonly throttle: number
}

/**
 * One request of the protocol, in the versions spoken here.
 */
export interface Api<Request, Answer extends Throttled> {
  readonly key: number
  readonly name: string
  /** Lowest and highest version spoken, both included. */
  readonly minVersion: number
  readonly maxVersion: number
  /** The first version with compact types and tagged fields (KIP-482). */
  readonly flexibleFrom: number
  /** Response headers stay at version 0 in every version (ApiVersions, KIP-511). */
  readonly plainResponseHeader?: true
  /** Bytes to reserve for the body where 256 are often too few. */
  readonly sizeHint?: (request: Request) => number
  readonly encode: (writer: Writer, request: Request, version: number) => void
  /** Refuses an answer that is not about what was asked. */
  readonly decode: (reader: Reader, version: number, request: Request) => Answer
}

/** Throws `ProtocolViolation` for a value that the protocol cannot carry. */
export const encodeRequest = <Request, Answer extends Throttled>(
  api: Api<Request, Answer>,
  request: Request,
  version: number
): Uint8Array => {
  const writer = new Writer(version >= api.flexibleFrom, api.sizeHint?.(request))
  try {
    api.encode(writer, request, version)
  } catch (cause) {
    throw asViolation(cause)
  }
  return writer.bytes()
}

/** Throws `ProtocolViolation` for bytes that are not one whole answer. */
export const decodeAnswer = <Request, Answer extends Throttled>(
  api: Api<Request, Answer>,
  bytes: Buffer,
  version: number,
  request: Request
): Answer => {
  const reader = new Reader(bytes, version >= api.flexibleFrom)
  const answer = api.decode(reader, version, request)
  if (reader.remaining > 0) throw new ProtocolViolation(`${reader.remaining} bytes are left over`)
  return answer
}

// Buffer refuses numbers out of a field's range with a RangeError.
const asViolation = (cause: unknown): unknown =>
  cause instanceof RangeError ? new ProtocolViolation(cause.message) : cause
