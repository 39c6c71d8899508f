import type { AbortedTransaction } from "../../KafkaClient.ts"

/**
 * Tells which transactional batches of one fetch answer were aborted, as a read_committed reader must
 * (https://kafka.apache.org/protocol.html, the aborted transactions of Fetch; KIP-98).
 *
 * The answer lists where aborted transactions begin; they end at their abort markers in the log. So the batches must be
 * shown in log order: a producer is aborting from the first batch that reaches its transaction's first offset until its
 * marker. The list covers the whole answer, so nothing is carried from one answer to the next, and compaction may have
 * removed markers and data alike.
 */
export class AbortedTransactions {
  private readonly begins: ReadonlyArray<AbortedTransaction>
  private begun = 0
  private readonly aborting = new Set<bigint>()

  constructor(transactions: ReadonlyArray<AbortedTransaction>) {
    this.begins = transactions.toSorted((a, b) => a.firstOffset - b.firstOffset)
  }

  /** To be called for each batch with a producer, control batches included, before the questions below. */
  advance(lastOffset: number): void {
    while (this.begun < this.begins.length && this.begins[this.begun]!.firstOffset <= lastOffset) {
      this.aborting.add(this.begins[this.begun++]!.producerId)
    }
  }

  /** An abort marker of this producer was met; one without an entry changes nothing. */
  end(producerId: bigint): void {
    this.aborting.delete(producerId)
  }

  /** Whether anybody's are, which is cheaper to know. */
  get isAnyAborting(): boolean {
    return this.aborting.size > 0
  }

  /** Whether this producer's transactional batches are aborted ones at this place of the log. */
  isAborting(producerId: bigint): boolean {
    return this.aborting.has(producerId)
  }
}
