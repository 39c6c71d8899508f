/**
 * What a broker says of a record that it has taken.
 *
 * @since 0.1.0
 */

/**
 * The place of a written record in the log. Hand it to a table's `awaitOffset` to read your own write.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteAck {
  readonly topic: string
  /** 32 lower-case hex digits; undefined on brokers without topic ids (before Kafka 2.8). */
  readonly topicId: string | undefined
  readonly partition: number
  /** Undefined under acks `none`: the broker says nothing. */
  readonly offset: number | undefined
  /** Milliseconds: the record's own, or the broker's where the topic stamps records itself. */
  readonly timestamp: number
  /** The decimal digits of what names the writer in the log; undefined without idempotence. */
  readonly producerId: string | undefined
  /** -1 without idempotence. */
  readonly producerEpoch: number
  readonly sequence: number
}
