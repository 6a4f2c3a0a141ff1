import type { SimulatedCommand } from '../command.ts';
import { actionCommands } from './action-commands.ts';
import { foreignCommands } from './foreign-commands.ts';
import { historyCommands } from './history-commands.ts';
import { malformedCommands } from './malformed-commands.ts';
import { messageCommands } from './message-commands.ts';
import { operationCommands } from './operation-commands.ts';
import { readCommands } from './read-commands.ts';
import { repeatedCommands } from './repeated-commands.ts';
import { sessionCommands } from './session-commands.ts';
import { stateCommands } from './state-commands.ts';

const commands = [...sessionCommands, ...messageCommands, ...historyCommands, ...actionCommands, ...operationCommands, ...stateCommands, ...readCommands, ...malformedCommands];

/** Everything that clients can do by the HTTP API, each with every choice that it has, most of it fitting, some of it not. */
export const allCommands: readonly SimulatedCommand[] = [...commands, ...repeatedCommands, ...foreignCommands(commands)];
