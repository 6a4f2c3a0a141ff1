// @ts-check
import { callServer, callUntilAnswered, newMessageId, NoAnswer, pathOf } from './call-server.js';
import { isBusy, newChat, visibleTurnsOf } from './chat-state.js';
import { BranchPanel } from './branch-panel.js';
import { ChatView } from './chat-view.js';
import { firstTextOf, foldEvent } from './chat.js';
import { connectComposer } from './composer.js';
import { Decisions } from './decisions.js';
import { byId, element, setText } from './element.js';
import { followSession } from './follow-session.js';
import { Outbox } from './outbox.js';
import { editOf, QueueView } from './queue-view.js';
import { nameOf, showSessions } from './session-list.js';
import { connectTitle } from './title.js';
import { effectsInWords, statusInWords, usageInWords } from './words.js';

const examples = ['count to 40', 'weather in Lisbon', 'refund 25', 'locate me', 'index 100 in the background', 'ask me Tea or coffee? tea / coffee', 'sleep 3000 once', 'fail overloaded 2'];
const sessionsEveryMs = 10_000;
const clockEveryMs = 500;
/** So close to the end, in pixels, the page follows what comes. */
const followMarginPx = 80;

const connectionWords = { none: '', connecting: 'Connecting…', online: 'Connected', reconnecting: 'Connection lost. Reconnecting…' };

const scroller = byId('scroller', HTMLElement);

/** @type {import('./chat-state.js').Chat | null} */
let chat = null;
/** @type {ReturnType<typeof followSession> | null} */
let follower = null;
/** @type {import('./session-list.js').ListedSession[]} */
let sessions = [];
/** Known a moment after the page is there; what is said before waits for it. */
const agentLoaded = loadAgent();
let followsEnd = true;
let isStopping = false;
let renderIsDue = false;

const decisions = new Decisions(renderSoon);
const view = new ChatView(byId('transcript', HTMLElement), {
  onAnswer: (action, answer) => {
    if (chat !== null) void decisions.send(chat.sessionId, action, answer);
  },
  onCancel: (operationId) => command('POST', `v1/operations/${encodeURIComponent(operationId)}/cancel`),
  decisionOf: (actionId) => decisions.of(actionId),
  onEdit: (turnId, message, text) => inHistory('edit', { turnId, ...editOf(message, text) }),
  onRetry: (turnId) => inHistory('retry', { turnId }),
  onRewind: (turnId) => inHistory('rewind', { turnId }),
  onFork: fork,
  resultPath: ({ stepSeq, index }) => `${pathOf(chat?.sessionId ?? '')}/calls/${stepSeq}-${index}/result`,
});
const queue = new QueueView({
  onEdit: (message, text) => inQueue('PATCH', encodeURIComponent(message.messageId), editOf(message, text)),
  onRemove: ({ messageId }) => inQueue('DELETE', encodeURIComponent(messageId)),
  onPromote: ({ messageId }) => inQueue('POST', `${encodeURIComponent(messageId)}/promote`),
  onHold: (held) => inQueue('POST', held ? 'hold' : 'release'),
});
const branchPanel = new BranchPanel({
  onRedo: () => inHistory('redo'),
  onList: async () => (chat === null ? null : ((await ask('GET', `${pathOf(chat.sessionId)}/branches?limit=100`))?.items ?? null)),
  onRestore: (branchId) => inHistory(`branches/${encodeURIComponent(branchId)}/restore`, {}),
});
const outbox = new Outbox({ agentName: () => agentLoaded, onChange: render, onProblem: showProblem, onSession: openNewSession });
const composer = connectComposer({ onSend: send, onStop: stop });
const title = connectTitle({ onRename: rename });

// --- Which chat is open ---

function openFromHash() {
  const id = location.hash.slice(1);
  if (id === (chat?.sessionId ?? '')) return;
  follower?.close();
  follower = null;
  chat = id === '' ? null : newChat(id);
  view.clear();
  decisions.clear();
  followsEnd = true;
  showProblem(null);
  showNotice(null);
  title.cancel();
  if (chat !== null) follow(chat.sessionId);
  else showConnection('none');
  toggleList(false);
  composer.focus();
  render();
  showList();
}

/** @param {string} id */
function follow(id) {
  follower = followSession(id, {
    onEvent: (event) => {
      if (chat?.sessionId !== id) return;
      if (!foldEvent(chat, event)) {
        chat = newChat(id);
        view.clear();
        follower?.restart();
      }
      if (event.type === 'status' || (event.type === 'entry' && event.entry.kind === 'title-set')) void refreshSessions(); // the list shows both
      renderSoon();
    },
    onConnection: showConnection,
    onMissing: (detail) => {
      if (chat?.sessionId === id) chat.status = 'missing';
      showConnection('none');
      showProblem(detail);
      render();
    },
  });
}

/** The first message made a session: its chat is opened, unless the person went elsewhere meanwhile. @param {string} id */
function openNewSession(id) {
  void refreshSessions();
  if (chat !== null) return;
  history.replaceState(null, '', `#${id}`);
  openFromHash();
}

function startNewChat() {
  if (location.hash.length > 1) location.hash = '';
  toggleList(false);
  composer.focus();
}

// --- What a person does ---

/** @param {string} text @param {string} [whenBusy] */
function send(text, whenBusy = 'queue') {
  showProblem(null);
  followsEnd = true;
  void outbox.send(text, chat?.sessionId ?? null, whenBusy).then((refused) => {
    if (refused) composer.giveBack(text);
  });
}

/** Stops this turn and no later one, however often it is asked. */
async function stop() {
  if (chat === null || !isBusy(chat) || isStopping) return;
  const { sessionId, turnId } = chat;
  isStopping = true;
  render();
  try {
    await callUntilAnswered(() => callServer('POST', `${pathOf(sessionId)}/stop`, { body: turnId === null ? {} : { turnId } }));
  } catch (error) {
    showProblem(messageOf(error));
  }
  isStopping = false;
  render();
}

/** @param {string | null} newTitle */
async function rename(newTitle) {
  if (chat !== null && (await command('PATCH', pathOf(chat.sessionId), { title: newTitle }))) await refreshSessions();
}

/** Changes the queue of the open chat. @param {string} method @param {string} what @param {unknown} [body] */
async function inQueue(method, what, body) {
  const done = chat !== null && (await command(method, `${pathOf(chat.sessionId)}/queue/${what}`, body));
  if (document.activeElement === document.body) composer.focus(); // the button that had the focus went away
  return done;
}

/** Moves through the history of the open chat. A running turn is stopped for it: whoever moves means that. @param {string} what @param {object} [body] */
async function inHistory(what, body) {
  if (chat === null) return false;
  showProblem(null);
  const answer = await ask('POST', `${pathOf(chat.sessionId)}/${what}`, body === undefined ? undefined : { ...body, ...(isBusy(chat) ? { stop: true } : {}) });
  if (answer === null) return false;
  showNotice(effectsInWords(answer));
  if (document.activeElement === document.body) composer.focus(); // the button that had the focus went away
  return true;
}

/** Goes on from a turn in a new chat. @param {string} turnId */
async function fork(turnId) {
  const answer = chat === null ? null : await ask('POST', `${pathOf(chat.sessionId)}/fork`, { turnId });
  if (answer === null) return false;
  location.hash = answer.sessionId;
  return true;
}

/** Sends a command; resolves to whether the server took it. @param {string} method @param {string} path @param {unknown} [body] */
async function command(method, path, body) {
  return (await ask(method, path, body)) !== null;
}

/** Calls until it is answered, with one effect however often it is sent. @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} null: refused, which is said */
async function ask(method, path, body) {
  const idempotencyKey = newMessageId();
  try {
    return (await callUntilAnswered(() => callServer(method, path, { body, ...(method === 'GET' ? {} : { idempotencyKey }) }))) ?? {};
  } catch (error) {
    showProblem(messageOf(error));
    return null;
  }
}

// --- What is shown ---

function renderSoon() {
  if (renderIsDue) return;
  renderIsDue = true;
  if (document.hidden) setTimeout(render, 200); // a hidden page gets no animation frames
  else requestAnimationFrame(render);
}

function render() {
  renderIsDue = false;
  const outgoing = outbox.messagesOf(chat);
  const isEmpty = chat === null || (chat.status !== null && chat.status !== 'missing' && visibleTurnsOf(chat).length === 0);
  byId('welcome', HTMLElement).hidden = !isEmpty || outgoing.length > 0;
  view.show(chat ?? newChat(''), outgoing, decisions.version);
  if (followsEnd) scroller.scrollTop = scroller.scrollHeight;
  showLatestButton();
  showStatus();
  showQueue();
  branchPanel.show(chat);
  composer.show({
    busy: chat !== null && isBusy(chat),
    stopping: isStopping,
    closed: chat?.status === 'ended' || chat?.status === 'missing',
    creating: chat === null && outbox.isCreating,
  });
  showName();
}

function showName() {
  if (chat === null) title.show('New chat', false);
  else if (chat.status === null) title.show('', false);
  else if (chat.status === 'missing') title.show('No such chat', false);
  else title.show(nameOf({ title: chat.title, preview: firstText() }), true);
  document.title = chat === null || title.text === '' ? 'Holdfast' : `${title.text} · Holdfast`;
}

function firstText() {
  return chat === null ? null : firstTextOf(chat);
}

function showList() {
  const currentId = chat?.sessionId ?? null;
  // A chat that the list knows no name for may be the open one, whose messages are here.
  const named = sessions.map((session) => (session.id === currentId ? { ...session, preview: session.preview ?? firstText() } : session));
  showSessions(byId('sessions', HTMLElement), named, currentId, Date.now());
  byId('no-sessions', HTMLElement).hidden = sessions.length > 0;
}

function showStatus() {
  const line = byId('status', HTMLElement);
  line.dataset['status'] = chat?.status ?? 'none';
  setText(line, chat === null ? '' : statusInWords(chat, Date.now()));
  setText(byId('usage', HTMLElement), chat === null ? '' : usageInWords(chat));
}

/** @param {keyof typeof connectionWords} state */
function showConnection(state) {
  const line = byId('connection', HTMLElement);
  line.dataset['state'] = state;
  setText(line, connectionWords[state]);
}

/** @param {string | null} text */
function showProblem(text) {
  byId('problem', HTMLElement).hidden = text === null;
  setText(byId('problem-text', HTMLElement), text ?? '');
}

/** @param {string | null} text */
function showNotice(text) {
  byId('notice', HTMLElement).hidden = text === null;
  setText(byId('notice-text', HTMLElement), text ?? '');
}

function showQueue() {
  const { messages, held } = chat?.queue ?? { messages: [], held: false };
  const heading = held ? 'On hold' : chat !== null && isBusy(chat) ? 'Waiting for this turn to end' : 'Waiting for your next message';
  queue.show(messages, held, heading);
}

function showLatestButton() {
  byId('to-latest', HTMLElement).hidden = followsEnd || scroller.scrollHeight <= scroller.clientHeight;
}

// --- The list of chats, and the agent ---

async function refreshSessions() {
  try {
    const page = await callServer('GET', 'v1/sessions?limit=50');
    sessions = page.items;
    showList();
  } catch (error) {
    // It is asked for again in a while; meanwhile the last list stands, and the open chat says that the connection is lost.
    if (!(error instanceof NoAnswer)) showProblem(messageOf(error));
  }
}

/** @returns {Promise<string>} its name */
async function loadAgent() {
  const { items } = await callUntilAnswered(() => callServer('GET', 'v1/agents'));
  const asked = new URLSearchParams(location.search).get('agent') ?? 'demo';
  const agent = items.find((/** @type {{ name: string }} */ { name }) => name === asked) ?? items[0];
  if (agent === undefined) throw new Error('This server has no agents.');
  const tools = (agent.tools ?? []).map((/** @type {unknown} */ tool) => (typeof tool === 'string' ? tool : /** @type {any} */ (tool).name));
  setText(byId('agent', HTMLElement), `You talk to the agent “${agent.name}”, version ${agent.version}${tools.length === 0 ? '.' : `, with the tools ${tools.join(', ')}.`}`);
  return agent.name;
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

// --- Start ---

byId('examples', HTMLElement).append(...examples.map((text) => {
  const button = element('button', { text, testid: 'example', attributes: { type: 'button' } });
  button.addEventListener('click', () => send(text));
  return element('li', {}, button);
}));
byId('new-chat', HTMLElement).addEventListener('click', startNewChat);
byId('problem-close', HTMLElement).addEventListener('click', () => showProblem(null));
byId('notice-close', HTMLElement).addEventListener('click', () => showNotice(null));
byId('to-latest', HTMLElement).addEventListener('click', () => {
  followsEnd = true;
  render();
});
byId('menu', HTMLElement).addEventListener('click', () => toggleList());
byId('backdrop', HTMLElement).addEventListener('click', () => toggleList(false));
let lastTopPx = 0;
scroller.addEventListener('scroll', () => {
  // Only a person scrolls up; what comes in at the end moves the end away and is no reason to stop following it.
  if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < followMarginPx) followsEnd = true;
  else if (scroller.scrollTop < lastTopPx) followsEnd = false;
  lastTopPx = scroller.scrollTop;
  showLatestButton();
}, { passive: true });
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented) return;
  // Whoever fills something in means that, and not the turn.
  if (event.target instanceof Element && event.target.closest('.action, .queue, .message-edit') !== null) return;
  if (document.body.classList.contains('list-open')) toggleList(false);
  else void stop();
});
window.addEventListener('hashchange', openFromHash);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refreshSessions();
});
setInterval(() => {
  if (!document.hidden) void refreshSessions();
}, sessionsEveryMs);
setInterval(() => {
  if (chat?.retry) showStatus(); // it counts down
}, clockEveryMs);

/** @param {boolean} [open] */
function toggleList(open) {
  const isOpen = document.body.classList.toggle('list-open', open);
  byId('menu', HTMLElement).setAttribute('aria-expanded', String(isOpen));
}

render();
openFromHash();
void refreshSessions();
agentLoaded.catch((error) => showProblem(messageOf(error)));
