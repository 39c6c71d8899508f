/**
 * One broker in a container. Testcontainers is loaded only here: it is slow to load and asks about Docker when it is.
 */
import { freePorts } from "./ports.ts"

/** True when a container engine answers. */
export const dockerAnswers = async (): Promise<boolean> => {
  try {
    const { getContainerRuntimeClient } = await import("testcontainers")
    await getContainerRuntimeClient()
    return true
  } catch {
    return false
  }
}

export interface Container {
  readonly broker: string
  readonly stop: () => Promise<void>
}

export const startContainer = async (version: string): Promise<Container> => {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import("testcontainers")
  // The engine may be on another machine, and a broker has to be told its address before it starts.
  const { host } = (await getContainerRuntimeClient()).info.containerRuntime
  const [port] = await freePorts(1)
  const container = await new GenericContainer(`apache/kafka-native:${version}`)
    .withExposedPorts({ container: 9092, host: port! })
    .withEnvironment({
      KAFKA_NODE_ID: "1",
      KAFKA_PROCESS_ROLES: "broker,controller",
      KAFKA_CONTROLLER_QUORUM_VOTERS: "1@localhost:9093",
      KAFKA_LISTENERS: "PLAINTEXT://:9092,CONTROLLER://:9093",
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${host}:${port}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
      KAFKA_CONTROLLER_LISTENER_NAMES: "CONTROLLER",
      KAFKA_INTER_BROKER_LISTENER_NAME: "PLAINTEXT",
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "1",
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "1",
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: "0",
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: "false"
    })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start()
  return {
    broker: `${host}:${port}`,
    stop: async () => {
      await container.stop()
    }
  }
}
