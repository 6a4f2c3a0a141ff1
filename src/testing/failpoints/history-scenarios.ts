import { isVisible } from '../../core/intervals.ts';
import { agentSaying, answering } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

async function twoTurns(stage: Stage): Promise<{ readonly id: string; readonly first: string; readonly second: string }> {
  const id = await stage.create();
  const first = (await stage.send(id, 'one'))['turnId'] as string;
  await stage.turnsEnded(id, 1);
  const second = (await stage.send(id, 'two'))['turnId'] as string;
  await stage.turnsEnded(id, 2);
  return { id, first, second };
}

function shows(stage: Stage, id: string, messages: readonly string[]): void {
  const visible = stage.log(id).filter(({ seq }) => isVisible(stage.session(id).visible, seq));
  const said = visible.flatMap((entry) => (entry.kind === 'user-message' ? entry.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])) : []));
  stage.equals(said, messages, 'the visible messages');
  stage.equals(visible.filter(({ kind }) => kind === 'assistant-step').length, messages.length, 'visible answers');
}

async function branches(stage: Stage, id: string): Promise<readonly string[]> {
  const { items } = await stage.request('GET', `/v1/sessions/${id}/branches`);
  return (items as { readonly id: string }[]).map((branch) => branch.id);
}

const agents = () => agentSaying(answering);

/** Moving in time, and what is made of a history. */
export const historyScenarios: readonly FailpointScenario[] = [
  {
    name: 'rewind-and-redo', fact: 'what was rewound is brought back once, and becomes a branch when the conversation goes on', agents,
    play: async (stage) => {
      const { id, first } = await twoTurns(stage);
      await stage.post(`/v1/sessions/${id}/rewind`, { turnId: first });
      shows(stage, id, ['one']);
      await stage.post(`/v1/sessions/${id}/redo`, {});
      shows(stage, id, ['one', 'two']);
      await stage.post(`/v1/sessions/${id}/rewind`, { turnId: first });
      await stage.send(id, 'three');
      await stage.turnsEnded(id, 3);
      shows(stage, id, ['one', 'three']);
      stage.equals((await branches(stage, id)).length, 1, 'branches');
    },
  },
  {
    name: 'edit', fact: 'an edited message is answered once, in place of the first', agents, processes: 2,
    play: async (stage) => {
      const { id, second } = await twoTurns(stage);
      await stage.post(`/v1/sessions/${id}/edit`, { turnId: second, text: 'other', messageId: 'edited' });
      await stage.turnsEnded(id, 3);
      shows(stage, id, ['one', 'other']);
      stage.equals(stage.lastText(id), 'the answer to other', 'the answer');
      stage.equals((await branches(stage, id)).length, 1, 'branches');
    },
  },
  {
    name: 'retry', fact: 'a turn that is tried again has one answer more, and one branch', agents,
    play: async (stage) => {
      const { id, second } = await twoTurns(stage);
      await stage.post(`/v1/sessions/${id}/retry`, { turnId: second });
      await stage.turnsEnded(id, 3);
      shows(stage, id, ['one', 'two']);
      stage.equals((await branches(stage, id)).length, 1, 'branches');
    },
  },
  {
    name: 'restore', fact: 'a branch is restored once, and what stood in its place is a branch', agents,
    play: async (stage) => {
      const { id, second } = await twoTurns(stage);
      await stage.post(`/v1/sessions/${id}/edit`, { turnId: second, text: 'other' });
      await stage.turnsEnded(id, 3);
      const [branch] = await branches(stage, id);
      await stage.post(`/v1/sessions/${id}/branches/${branch}/restore`, {});
      shows(stage, id, ['one', 'two']);
      const left = await branches(stage, id);
      stage.holds(left.length === 1 && left[0] !== branch, `branches are ${JSON.stringify(left)}`);
    },
  },
  {
    name: 'fork', fact: 'a fork is made once, has what was visible, and goes on by itself', agents,
    play: async (stage) => {
      const { id, first } = await twoTurns(stage);
      const fork = (await stage.post(`/v1/sessions/${id}/fork`, { turnId: first }))['sessionId'] as string;
      shows(stage, fork, ['one']);
      await stage.send(fork, 'three');
      await stage.turnsEnded(fork, 2);
      shows(stage, fork, ['one', 'three']);
      shows(stage, id, ['one', 'two']);
      stage.equals(stage.world.sessions.length, 2, 'sessions');
    },
  },
  {
    name: 'compaction', fact: 'a history is compacted once, and nothing of it is gone', agents,
    play: async (stage) => {
      const { id } = await twoTurns(stage);
      await stage.post(`/v1/sessions/${id}/compact`, {});
      await stage.turnsEnded(id, 3);
      stage.equals(stage.entries(id, 'history-compacted').length, 1, 'compactions');
      stage.equals(stage.reasons(id), ['complete', 'complete', 'complete'], 'turns end');
      await stage.send(id, 'three');
      await stage.turnsEnded(id, 4);
      stage.equals(stage.entries(id, 'user-message').length, 3, 'messages in the log');
    },
  },
  {
    name: 'redact', fact: 'what was redacted is gone from the log and everything beside it',
    agents: () => agentSaying(() => 'well'),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'a secret', { messageId: 'first' });
      await stage.turnsEnded(id, 1);
      const [message] = stage.entries(id, 'user-message');
      await stage.post(`/v1/sessions/${id}/redact`, { seq: message?.seq ?? 0 });
      const { items } = await stage.request('GET', `/v1/sessions/${id}/entries?limit=100`);
      stage.equals((items as unknown[]).filter((entry) => JSON.stringify(entry).includes('a secret')).length, 0, 'entries with the text');
      stage.equals(stage.entries(id, 'entry-redacted').length, 1, 'redactions');
    },
  },
];
