// @ts-check

/**
 * A new element. Text always goes in as text, never as markup.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{ class?: string, text?: string, testid?: string, data?: Record<string, string>, attributes?: Record<string, string> }} [options]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  if (options.class !== undefined) made.className = options.class;
  if (options.text !== undefined) made.textContent = options.text;
  if (options.testid !== undefined) made.dataset['testid'] = options.testid;
  Object.assign(made.dataset, options.data);
  for (const [name, value] of Object.entries(options.attributes ?? {})) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * The page's own element with this id, which index.html has.
 *
 * @template {HTMLElement} Wanted
 * @param {string} id
 * @param {{ new (): Wanted }} type
 * @returns {Wanted}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} with the id "${id}"`);
  return found;
}

/** Sets the text only where it changes, so that a screen reader does not say it again. @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
