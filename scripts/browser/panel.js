// Walks the panel in a real browser beside a real sidekick with a real Godot game: logs in, sees the game live, crashes Godot from outside, reads
// the bundle, restarts, drains, starts, loses and regains the panel's node; and looks at each page, light and dark, wide and narrow:
// errors of the console, accessibility (axe-core, WCAG 2.2 AA), a page that is wider than its window.
//
// usage: node panel.js DIR PICTURES     needs SIDEKICK_BIN, mix, epmd and godot on PATH, and scripts/setup --env --browser
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
const { stage } = require('./panel_stage.js');

const modules = createRequire(path.join(process.env.SIDEKICK_BROWSER_DIR, 'package.json'));
const { chromium } = modules('playwright-core');
const axe = fs.readFileSync(modules.resolve('axe-core/axe.min.js'), 'utf8');

const server = '/servers/sidekick@127.0.0.1/lobby';
const pages = ['/', '/sidekicks', server, `${server}/log`, `${server}/state`, '/crashes', '/crashes/sidekick@127.0.0.1/lobby/1', '/store', '/audit'];
const crash_ms_max = 1000;
const faults = [];
let passed = 0;
let lost = false;

function good(sentence) {
  passed += 1;
  console.log(`  ok      ${sentence}`);
}

function watch(page) {
  page.on('pageerror', (error) => faults.push(`error in the page: ${error.message}`));
  page.on('console', (message) => {
    // While the node is away the browser tells that nobody listens; that is the story.
    if (!lost && ['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()} at ${page.url()}`);
  });
}

async function login(page, url, { name, password }) {
  await page.goto(`${url}/store`);
  await page.waitForURL('**/login?*');
  await page.fill('#name', name);
  await page.fill('#password', password);
  await page.click('button.primary');
  await page.waitForURL('**/store');
}

const live = (page) => page.waitForSelector('.phx-connected', { timeout: 20000 });
const state = (page, word) => page.waitForSelector(`.title .state:has-text("${word}")`, { timeout: 40000 });

async function act(page, button, question) {
  await page.click(`.actions button:has-text("${button}")`);
  if (question) {
    await page.waitForSelector(`dialog[open]:has-text("${question}")`);
    // The focus is on the answer that does no harm, and stays within.
    const focused = await page.evaluate(() => document.activeElement.textContent.trim());
    if (focused !== 'Cancel') faults.push(`the dialog has its focus on ${focused}`);
    await page.click(`dialog button:has-text("${button}")`);
  }
  await page.waitForSelector(`.flashes .info:has-text("${button} lobby on sidekick@127.0.0.1: done.")`, { timeout: 40000 });
}

async function crash(page, pictures) {
  await page.waitForFunction(() => [...document.querySelectorAll('.facts div')].some((e) => /^Process\s*\d+$/.test(e.innerText.replace(/\n/g, ' '))));
  const pid = await page.evaluate(() => Number([...document.querySelectorAll('.facts div')].find((e) => e.innerText.startsWith('Process')).querySelector('dd').innerText));
  const told = page.waitForSelector('.timeline .kind-ended:has-text("signal SIGSEGV")', { timeout: 20000 });
  const begin = performance.now();
  process.kill(pid, 'SIGSEGV');
  await told;
  const took = Math.round(performance.now() - begin);
  if (took > crash_ms_max) faults.push(`a crash was told after ${took} ms, more than ${crash_ms_max}`);
  good(`Godot (${pid}) was killed by SIGSEGV from outside: on the page ${took} ms later`);
  await page.waitForSelector('.timeline a:has-text("read it")', { timeout: 20000 });
  await state(page, 'running');
  await page.screenshot({ path: path.join(pictures, 'server-crashed.png'), fullPage: true });
  await page.click('.timeline a:has-text("read it")');
  await page.waitForSelector('.sentence:has-text("signal SIGSEGV")', { timeout: 20000 });
  await page.click('#copy');
  await page.waitForSelector('#copy:has-text("Copied"), #copy:has-text("Selected")');
  good('its bundle is read, and copied as Markdown');
  return took;
}

async function lose(page, on, pictures) {
  await page.goto(`${on.url}${server}`);
  await live(page);
  await state(page, 'running');
  lost = true;
  on.killPanel();
  await page.waitForSelector('#lost:not([hidden])', { timeout: 20000 });
  await page.screenshot({ path: path.join(pictures, 'lost.png') });
  good('the node of the panel is killed (-9): the page says so, and shows what was');
  await on.startPanel();
  await page.waitForSelector('#lost[hidden]', { state: 'attached', timeout: 60000 });
  await state(page, 'running');
  await page.waitForSelector('.title .state:not(.old)', { timeout: 60000 });
  lost = false;
  good('it is started again: the page goes on by itself, without another login');
}

// axe runs by the debugger: the page's own policy would refuse it, as it should.
async function judge(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  if (wide) faults.push(`${name} is wider than its window`);
  const session = await page.context().newCDPSession(page);
  const expression = `${axe}; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    .then((r) => r.violations.map((v) => v.id + ' (' + v.nodes.length + '): ' + v.nodes[0].target + ' ' + v.nodes[0].failureSummary))`;
  const answer = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
  if (answer.exceptionDetails) throw new Error(`axe-core did not run: ${answer.exceptionDetails.exception.description}`);
  for (const violation of answer.result.value) faults.push(`${name}: ${violation}`);
}

async function look(browser, cookies, url, pictures) {
  for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [360, 'light'], [360, 'dark']]) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    await context.addCookies(cookies);
    const page = await context.newPage();
    watch(page);
    for (const address of pages) {
      await page.goto(url + address);
      await live(page);
      await page.waitForFunction(() => !document.querySelector('.notice.loading'), null, { timeout: 20000 });
      const name = `${address.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '') || 'fleet'}-${width}-${colorScheme}`;
      await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
      await judge(page, name);
    }
    await context.close();
    good(`${pages.length} pages at ${width} px, ${colorScheme}`);
  }
}

// A check that cannot fail proves nothing.
async function control(browser) {
  const page = await browser.newPage();
  watch(page);
  await page.setContent('<title></title><p style="color:#ccc;width:5000px">pale</p><script>console.error("x")</script>');
  await judge(page, 'control');
  const found = faults.splice(0).join('\n');
  for (const kind of ['console: x', 'wider than', 'color-contrast', 'html-has-lang']) {
    if (!found.includes(kind)) throw new Error(`the check does not notice: ${kind}`);
  }
  await page.close();
  good('the checks notice what is wrong');
}

async function story(browser, on, pictures) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto(`${on.url}/login`);
  await page.screenshot({ path: path.join(pictures, 'login.png') });
  await judge(page, 'login');
  await login(page, on.url, on.user);
  watch(page);
  good('without a login nothing is shown; the login leads to where one was going');
  await page.goto(on.url);
  await page.waitForSelector('tbody tr:has-text("lobby") .state:has-text("running")', { timeout: 40000 });
  await page.click('tbody th a:has-text("lobby")');
  await live(page);
  await state(page, 'running');
  await page.waitForSelector('figure.chart path.line[d^="M"]', { state: 'attached' });
  good('the game is live');
  const took = await crash(page, pictures);
  await page.goto(`${on.url}${server}`);
  await live(page);
  await page.click('.actions button:has-text("Restart")');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  const focused = await page.evaluate(() => document.activeElement.textContent.trim());
  if (focused !== 'Restart') faults.push(`after the dialog the focus is on ${focused.slice(0, 40)}`);
  await act(page, 'Restart', 'Play stops for a moment and goes on with its state.');
  await state(page, 'running');
  good('restarted, after it was asked');
  await act(page, 'Drain', 'No new players come; it ends once play has.');
  await state(page, 'stopped');
  await act(page, 'Start');
  await state(page, 'running');
  good('drained and started again');
  await lose(page, on, pictures);
  await page.goto(`${on.url}/audit`);
  for (const word of ['login', 'restart', 'drain', 'start']) await page.waitForSelector(`tbody td:text-is("${word}")`, { timeout: 20000 });
  good('all of it is in the audit, which outlived the node');
  await look(browser, await context.cookies(), on.url, pictures);
  await context.close();
  return took;
}

async function main([dir, pictures]) {
  fs.mkdirSync(pictures, { recursive: true });
  const browser = await chromium.launch({ executablePath: process.env.SIDEKICK_BROWSER, chromiumSandbox: false });
  const on = await stage(dir);
  try {
    await control(browser);
    await story(browser, on, pictures);
  } catch (error) {
    faults.push(error.stack);
    on.tellLogs();
  } finally {
    await browser.close();
    await on.strike();
  }
  for (const fault of faults) console.log(`  failed: ${fault}`);
  console.log(`${passed} passed, ${faults.length} failed, 0 skipped`);
  return faults.length ? 1 : 0;
}

main(process.argv.slice(2)).then((status) => process.exit(status), (error) => {
  console.error(error);
  process.exit(1);
});
