/** Transactions request by request, so that tests decide what stays open and in which order things end (KIP-98). */
import { type ContractRecord, encodeBatch } from "./recordBatch.ts"
import { ask, type Reader, type WireRequest, Writer } from "./wire.ts"

export interface OpenTransaction {
  /** Appends one batch at the partition's leader, which is given by its address. */
  readonly append: (
    leader: string,
    topic: string,
    partition: number,
    records: ReadonlyArray<ContractRecord>
  ) => Promise<void>
  /** The markers may be written after it has returned. */
  readonly end: (commit: boolean) => Promise<void>
}

// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS.
const soonOver = [14, 15, 16, 51]

const patience = 20_000

/** Sends a request until the broker is ready for it. */
const settled = async <A>(
  send: () => Promise<Reader>,
  name: string,
  read: (answer: Reader) => { readonly code: number; readonly value: A }
): Promise<A> => {
  for (const since = performance.now(); ;) {
    const { code, value } = read(await send())
    if (code === 0) return value
    if (!soonOver.includes(code) || performance.now() - since > patience) throw new Error(`${name}: error code ${code}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const codeAlone = (answer: Reader) => {
  answer.int32()
  return { code: answer.int16(), value: undefined }
}

export const beginTransaction = async (address: string, transactionalId: string): Promise<OpenTransaction> => {
  const coordinator = await settled(
    () =>
      ask(address, {
        name: "FindCoordinator",
        apiKey: 10,
        version: 1,
        body: new Writer().string(transactionalId).int8(1)
      }),
    "FindCoordinator",
    (answer) => {
      answer.int32()
      const code = answer.int16()
      answer.string()
      answer.int32()
      return { code, value: `${answer.string()}:${answer.int32()}` }
    }
  )
  const coordinate = (request: WireRequest) => () => ask(coordinator, request)
  const { epoch, producerId } = await settled(
    coordinate({
      name: "InitProducerId",
      apiKey: 22,
      version: 1,
      body: new Writer().string(transactionalId).int32(600_000)
    }),
    "InitProducerId",
    (answer) => {
      answer.int32()
      return { code: answer.int16(), value: { producerId: answer.bigInt64(), epoch: answer.int16() } }
    }
  )
  const sequences = new Map<string, number>()

  const append: OpenTransaction["append"] = async (leader, topic, partition, records) => {
    const adding = new Writer().string(transactionalId).bigInt64(producerId).int16(epoch)
    adding.int32(1).string(topic).int32(1).int32(partition)
    await settled(
      coordinate({ name: "AddPartitionsToTxn", apiKey: 24, version: 1, body: adding }),
      "AddPartitionsToTxn",
      (answer) => {
        answer.int32()
        const codes = answer.array(() => {
          answer.string()
          return answer.array(() => {
            answer.int32()
            return answer.int16()
          })
        })
        return { code: codes.flat()[0] ?? 0, value: undefined }
      }
    )
    const place = `${topic}-${partition}`
    const baseSequence = sequences.get(place) ?? 0
    const batch = encodeBatch(records, { producerId, producerEpoch: epoch, baseSequence, isTransactional: true })
    const body = new Writer().string(transactionalId).int16(-1).int32(30_000)
    body.int32(1).string(topic).int32(1).int32(partition).blob(batch)
    await settled(
      () => ask(leader, { name: "Produce", apiKey: 0, version: 3, body }),
      "Produce",
      (answer) => {
        const codes = answer.array(() => {
          answer.string()
          return answer.array(() => {
            answer.int32()
            const code = answer.int16()
            answer.int64()
            answer.int64()
            return code
          })
        })
        return { code: codes.flat()[0] ?? -1, value: undefined }
      }
    )
    sequences.set(place, baseSequence + records.length)
  }

  const end = (commit: boolean): Promise<void> =>
    settled(
      coordinate({
        name: "EndTxn",
        apiKey: 26,
        version: 1,
        body: new Writer()
          .string(transactionalId)
          .bigInt64(producerId)
          .int16(epoch)
          .int8(commit ? 1 : 0)
      }),
      "EndTxn",
      codeAlone
    )

  return { append, end }
}
