// @ts-check
import { element, setText } from './element.js';
import { agoInWords } from './words.js';

/** @typedef {{ id: string, title: string | null, status: string, activeAtMs: number, preview?: string | null }} ListedSession */

/** What a session is called where nobody gave it a title. @param {{ title: string | null, preview?: string | null }} session */
export function nameOf({ title, preview }) {
  return title ?? (preview?.trim() || 'Untitled chat');
}

/**
 * Shows the recent sessions. Their links stay the same elements, so that the keyboard's focus stays where it is.
 *
 * @param {HTMLElement} list
 * @param {readonly ListedSession[]} sessions
 * @param {string | null} currentId
 * @param {number} nowMs
 */
export function showSessions(list, sessions, currentId, nowMs) {
  const known = new Map([...list.children].map((item) => [/** @type {HTMLElement} */ (item).dataset['session'], item]));
  const items = sessions.map((session) => {
    const item = known.get(session.id) ?? newItem(session.id);
    const link = /** @type {HTMLElement} */ (item.firstElementChild);
    const [name, ago] = link.children;
    link.dataset['status'] = session.status;
    if (session.id === currentId) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    if (name !== undefined) setText(name, nameOf(session));
    if (ago !== undefined) setText(ago, statusOrAgo(session, nowMs));
    return item;
  });
  items.forEach((item, place) => {
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
  });
  while (list.children.length > items.length) list.lastElementChild?.remove();
}

/** @param {string} id */
function newItem(id) {
  return element('li', { data: { session: id } },
    element('a', { testid: 'session-item', attributes: { href: `#${id}` } }, element('span', { class: 'name' }), element('span', { class: 'ago' })));
}

/** @param {ListedSession} session @param {number} nowMs */
function statusOrAgo({ status, activeAtMs }, nowMs) {
  if (status === 'requires_action') return 'asks you';
  if (status === 'running' || status === 'ready' || status === 'waiting') return 'working';
  return status === 'failed' ? 'failed' : agoInWords(activeAtMs, nowMs);
}
