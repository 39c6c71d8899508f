/**
 * Foreign clients to compare with, for the tests of this workspace; not published.
 */
export * as JavaPeer from "./JavaPeer.ts"
export * as PythonPeer from "./PythonPeer.ts"
export { expectedTable, pinnedOffsets } from "./expectedTable.ts"
export * from "./PeerError.ts"
export * from "./PeerRecord.ts"
