/**
 * What an idempotent producer numbers its batches with (KIP-98): an identity, and per partition the sequence of each
 * record, which wraps to 0 after 2^31-1.
 */

const WRAP = 0x80000000
const LAST_EPOCH = 0x7fff

/** No generation of a topic. */
export const NOWHERE = -1

/** The sequence `count` records after `sequence`. */
export const advance = (sequence: number, count: number): number => (sequence + count) % WRAP

/** Who a partition's batches come from, and what the next record's sequence is. */
export interface Identity {
  readonly producerId: bigint
  readonly producerEpoch: number
  sequence: number
  /** The generation of the topic, as its metadata counts them, that it may number batches for. */
  readonly generation: number
}

/** A producer without idempotence. */
export const plain = (): Identity => ({ producerId: -1n, producerEpoch: -1, sequence: -1, generation: 0 })

export const isIdempotent = (identity: Identity): boolean => identity.producerId >= 0n

/**
 * The same producer in its next epoch (KIP-360): once the partition has seen it, a batch of the old epoch that is still
 * on its way is refused, so it can neither land behind newer records nor be taken for one of them. Undefined when the
 * epochs are used up.
 */
export const nextEpoch = (identity: Identity): Identity | undefined =>
  identity.producerEpoch < LAST_EPOCH
    ? { ...identity, producerEpoch: identity.producerEpoch + 1, sequence: 0 }
    : undefined
