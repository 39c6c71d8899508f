/**
 * The isolation level as ListOffsets and Fetch carry it (KIP-98).
 */
import type { Isolation } from "../../KafkaClient.ts"

export const isolationLevel = (isolation: Isolation): number => (isolation === "read_committed" ? 1 : 0)
