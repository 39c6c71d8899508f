/**
 * Records as they go to and come from a peer. Keys and values travel in base 64, `null` is null.
 */

export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

export interface PeerRecord {
  readonly key: Uint8Array | string | null
  readonly value: Uint8Array | string | null
  /** Left out, the client's own partitioner chooses: murmur2 of the key. */
  readonly partition?: number
  /** Milliseconds since the epoch. */
  readonly timestamp?: number
  readonly headers?: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | string | null }>
}

/** Where a record has been written. */
export interface PeerAck {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
}

/** Bytes in base 64; a string stands for its UTF-8. */
export const base64 = (bytes: Uint8Array | string | null): string | null =>
  bytes === null ? null : Buffer.from(bytes as Uint8Array).toString("base64")

export const encodeRecord = (record: PeerRecord): object => ({
  ...record,
  key: base64(record.key),
  value: base64(record.value),
  headers: (record.headers ?? []).map((header) => ({ key: header.key, value: base64(header.value) }))
})
