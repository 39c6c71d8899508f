/**
 * The resource types of the config requests (KIP-133), of which topics are the only one asked about here.
 */
export const topicResource = 2
