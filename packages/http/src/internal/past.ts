/** Answers what became of a key, from the log: its newest records, and from where on none is missing. */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type * as KafkaTable from "effect-ktables/KafkaTable"
import type { Header } from "effect-ktables/TableEntry"
import * as Answers from "./answers.ts"
import type { Served } from "./served.ts"
import * as Wire from "./wire.ts"

/** Milliseconds that a reading may take, those included in which it waits for others. */
const LONGEST = 10_000
/** Readings of one table at a time: each goes through all of a partition. */
const AT_A_TIME = 2
/** Characters of an answer; of older records than fit it has only the number. */
const LARGEST = 1024 * 1024
/** Records of an answer where none is asked for, and at most. */
const RECORDS = 100
const MOST_RECORDS = 1000

const printedHeader = ({ key, value }: Header): Wire.WireHeader => {
  if (value === null) return [key, null]
  const text = Wire.textOf(value)
  return text === undefined ? [key, Wire.toBase64(value), "base64"] : [key, text]
}

const tooLong: Answers.Refusal = {
  status: 504,
  error: "TooLong",
  message: `the log was not read within ${LONGEST / 1000} seconds: \`ktables history\` takes its time`
}

export const make = <K, V>(
  served: Served<K, V>,
  decodeKey: (text: string) => Effect.Effect<K, Answers.Refusal>
): ((text: string, query: URLSearchParams) => Effect.Effect<ReturnType<typeof Answers.json>, Answers.Refusal>) => {
  const { history, name } = served
  if (history === undefined) {
    return () =>
      Effect.fail({ status: 501, error: "NoLog", message: `${name} is served without a log: it has no history here` })
  }
  const turns = Semaphore.makeUnsafe(AT_A_TIME)

  const print = Effect.fnUntraced(function* (item: Exclude<KafkaTable.HistoryItem<V>, { readonly _tag: "End" }>) {
    const { headers, offset, partition, timestamp } = item
    const place = JSON.stringify({ partition, offset, timestamp, headers: headers.map(printedHeader) }).slice(0, -1)
    switch (item._tag) {
      case "Deleted":
        return `${place}}`
      case "Set": {
        const value = yield* served.printed(item.value)
        return value === undefined ? `${place},"error":"its value cannot be written"}` : `${place},"value":[${value}]}`
      }
      case "Undecodable":
        return `${place},"value":[${Wire.printValue(item.raw)}],"error":${JSON.stringify(item.error.message)}}`
    }
  })

  const read = Effect.fnUntraced(function* (text: string, limit: number) {
    const key = yield* decodeKey(text)
    const versions: Array<string> = []
    const partitions: Array<Wire.WireHistory["partitions"][number]> = []
    let size = 0
    let older = 0
    yield* Stream.runForEach(
      history(key),
      Effect.fnUntraced(function* (item) {
        if (item._tag === "End") {
          const { completeFrom, logStart, offset, partition } = item
          partitions.push({ partition, logStart, offset, completeFrom })
          return
        }
        const printed = yield* print(item)
        versions.push(printed)
        size += printed.length
        // The newest is answered however large it is.
        while (versions.length > limit || (size > LARGEST && versions.length > 1)) {
          size -= versions.shift()!.length
          older++
        }
      })
    ).pipe(
      Effect.mapError((error): Answers.Refusal => ({
        status: error._tag === "EncodeError" ? 400 : error._tag === "ReadTimeout" ? 504 : 502,
        error: error._tag,
        message: error.message
      }))
    )
    const head = JSON.stringify({ table: name, topic: served.topicName, key: text, older, partitions }).slice(0, -1)
    return Answers.json(`${head},"versions":[${versions.join(",")}]}`)
  })

  return (text, query) => {
    const given = query.get("limit")
    const limit = given === null ? RECORDS : Number(given)
    if (!Number.isInteger(limit) || limit < 1 || limit > MOST_RECORDS) {
      return Effect.fail(Answers.badRequest(`limit is ${given}: expected 1 to ${MOST_RECORDS}`))
    }
    return Effect.timeoutOrElse(turns.withPermit(read(text, limit)), {
      duration: LONGEST,
      orElse: () => Effect.fail(tooLong)
    })
  }
}
