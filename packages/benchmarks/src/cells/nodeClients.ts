/** Node's two clients as their users use them: a consumer that hands out records, a producer that sends one at a time. */
import { type Consumer as KafkaJsConsumer, Kafka, logLevel, Partitioners } from "kafkajs"

export type NodeClient = "kafkajs" | "platformatic"

export type OnRecord = (key: Buffer | null, value: Buffer | null, partition: number, offset: number) => void

export interface Closeable {
  readonly close: () => Promise<void>
}

export interface Sender extends Closeable {
  /** Ends when all in-sync replicas have the record. */
  readonly send: (key: string, value: Buffer) => Promise<void>
}

const groupId = (): string => `ktables-bench-${process.pid}-${Date.now()}`

const kafkaJs = (brokers: ReadonlyArray<string>): Kafka =>
  new Kafka({ clientId: "ktables-bench", brokers: [...brokers], logLevel: logLevel.NOTHING })

/** Reads the topic from its beginning; returns when the consumer has joined its group. */
const consumeKafkaJs = async (
  brokers: ReadonlyArray<string>,
  topic: string,
  onRecord: OnRecord
): Promise<Closeable> => {
  const consumer: KafkaJsConsumer = kafkaJs(brokers).consumer({ groupId: groupId(), maxWaitTimeInMs: 500 })
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve())
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { key, value, offset } of batch.messages) onRecord(key, value, batch.partition, Number(offset))
    }
  })
  await joined
  return { close: () => consumer.disconnect() }
}

const consumePlatformatic = async (
  brokers: ReadonlyArray<string>,
  topic: string,
  onRecord: OnRecord
): Promise<Closeable> => {
  const { Consumer } = await import("@platformatic/kafka")
  const consumer = new Consumer({
    clientId: "ktables-bench",
    groupId: groupId(),
    bootstrapBrokers: [...brokers],
    autocommit: false,
    maxWaitTime: 500
  })
  const stream = await consumer.consume({ topics: [topic], mode: "earliest" })
  stream.on("data", ({ key, value, partition, offset }) => {
    onRecord(key ?? null, value ?? null, partition, Number(offset))
  })
  return {
    close: async () => {
      await stream.close()
      await consumer.close(true)
    }
  }
}

export const consume = (
  client: NodeClient,
  brokers: ReadonlyArray<string>,
  topic: string,
  onRecord: OnRecord
): Promise<Closeable> =>
  client === "kafkajs" ? consumeKafkaJs(brokers, topic, onRecord) : consumePlatformatic(brokers, topic, onRecord)

const producerKafkaJs = async (brokers: ReadonlyArray<string>, topic: string): Promise<Sender> => {
  const producer = kafkaJs(brokers).producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  return {
    send: async (key, value) => {
      await producer.send({ topic, acks: -1, messages: [{ key, value }] })
    },
    close: () => producer.disconnect()
  }
}

const producerPlatformatic = async (brokers: ReadonlyArray<string>, topic: string): Promise<Sender> => {
  const { Producer } = await import("@platformatic/kafka")
  const producer = new Producer({ clientId: "ktables-bench", bootstrapBrokers: [...brokers] })
  return {
    send: async (key, value) => {
      await producer.send({ acks: -1, messages: [{ topic, key: Buffer.from(key), value }] })
    },
    close: () => producer.close()
  }
}

export const openSender = (client: NodeClient, brokers: ReadonlyArray<string>, topic: string): Promise<Sender> =>
  client === "kafkajs" ? producerKafkaJs(brokers, topic) : producerPlatformatic(brokers, topic)
