/** Every bound of the room, with its unit (G15). */
export const mcpLimits = {
  /** Connecting to a server and listing its tools, together; also the default. */
  connectTimeoutMsMax: 10_000,
  /** A failed connection is tried again: first at the next use, then after this wait, doubling. */
  retryDelayMsFirst: 1_000,
  retryDelayMsMax: 60_000,
  /** From the third try in a row on a use waits only this long for it; the tools are there at a later use. */
  retryWaitMs: 1_000,
  /** One message of a server, as bytes on the wire, give or take one read of 64 KiB. The connection of a server that sends more is given up. */
  messageBytesMax: 8_388_608,
  /** Tools of one server, and pages of its list; what is listed beyond is left out. */
  toolsMax: 512,
  listPagesMax: 64,
  /** A tool's name, description and input schema as JSON; a tool with more is left out. */
  definitionCharsMax: 65_536,
  /** A tool's name as the model sees it; OpenAI refuses longer ones. */
  toolNameCharsMax: 64,
  /** Connections of one process. One more ends the one that was not used for longest. */
  connectionsMax: 128,
  /** How long a connection may take to end in order before it is cut; a process is killed then. */
  endGraceMs: 2_000,
  /** What a log says of a failure. */
  failureTextCharsMax: 300,
} as const;
