import { Command } from 'commander';
import type { QueueReply } from '../../core/accept/queue.ts';
import type { SessionHandle } from '../../index.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { printTable } from '../table.ts';
import { note, oneLine, printJson } from '../terminal.ts';

/** `holdfast queue list | edit | delete | promote | hold | release`: the messages that wait in a session. */
export function queueCommand(): Command {
  return new Command('queue').description("show and change a session's waiting messages")
    .addCommand(listCommand())
    .addCommand(onMessage('edit', "change a message's text; it keeps its place", (session, messageId, text) => session.queue.edit(messageId, { text: text.join(' ') })).argument('<text...>', 'the new text'))
    .addCommand(onMessage('delete', 'take a message out', (session, messageId) => session.queue.delete(messageId)))
    .addCommand(onMessage('promote', 'move a message to the front', (session, messageId) => session.queue.promote(messageId)))
    .addCommand(onQueue('hold', 'keep waiting messages from starting', (session) => session.queue.hold()))
    .addCommand(onQueue('release', 'let the queue go on; a worker starts its first message', (session) => session.queue.release()));
}

function listCommand(): Command {
  return queueStoreCommand('list', 'list the messages, the next one first').action(async (id: string, { store, json }: CommonOptions) => {
    await using holdfast = await openExistingStore(store);
    const session = await holdfast.sessions.get(id);
    const queue = await session.queue.list();
    if (json === true) return await printJson(queue);
    await printTable(['MESSAGE', 'TURN', 'TEXT'], queue.items.map(({ messageId, turnId, text, steer }) => [oneLine(messageId, 60), turnId, `${steer === true ? '(joins the turn) ' : ''}${oneLine(text, 60)}`]));
    if (queue.held) note('the queue is held: holdfast queue release');
  });
}

function queueStoreCommand(name: string, description: string): Command {
  return storeCommand(name, description).argument('<session>', 'id or external id of the session');
}

function onMessage(name: string, description: string, change: (session: SessionHandle, messageId: string, text: readonly string[]) => Promise<QueueReply>): Command {
  return queueStoreCommand(name, description).argument('<message>', 'id of the message').action(async (id: string, messageId: string, ...rest: readonly unknown[]) => {
    const text = Array.isArray(rest[0]) ? (rest[0] as readonly string[]) : [];
    const options = rest.find((each) => typeof each === 'object' && each !== null && 'store' in each) as CommonOptions;
    await changeQueue(id, options, (session) => change(session, messageId, text));
  });
}

function onQueue(name: string, description: string, change: (session: SessionHandle) => Promise<QueueReply>): Command {
  return queueStoreCommand(name, description).action(async (id: string, options: CommonOptions) => changeQueue(id, options, change));
}

async function changeQueue(id: string, { store, json }: CommonOptions, change: (session: SessionHandle) => Promise<QueueReply>): Promise<void> {
  await using holdfast = await openExistingStore(store);
  const reply = await change(await holdfast.sessions.get(id));
  if (json === true) return await printJson(reply);
  note(`${reply.messageIds.length} ${reply.messageIds.length === 1 ? 'message waits' : 'messages wait'}${reply.held ? ', held' : ''}`);
}
