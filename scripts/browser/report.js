// Opens pages that `mix sidekick.report` and the tests made in a real browser, light and dark, narrow and wide, and says what is wrong
// with them: errors of the console, anything loaded from elsewhere, accessibility (axe-core, WCAG 2.2 AA), content that is cut or
// hidden, and whatever a hostile name made run.
//
// usage: node report.js PICTURES FILE...      needs SIDEKICK_BROWSER and SIDEKICK_BROWSER_DIR (scripts/setup --env --browser)
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { createRequire } = require('node:module');

const modules = createRequire(path.join(process.env.SIDEKICK_BROWSER_DIR, 'package.json'));
const { chromium } = modules('playwright-core');
const axe = modules.resolve('axe-core/axe.min.js');

const sizes = [{ width: 360, height: 740 }, { width: 1280, height: 900 }];
const schemes = ['light', 'dark'];
const headings = ['Attention', 'Sidekicks', 'Servers', 'Servers in detail', 'Crashes', 'Streams and sinks', 'Store', 'Audit'];

// Of each file, what it has to show beside the headings.
const expected = {
  'demo.html': ['lobby', 'Crash 1 of lobby', 'Crash 2 of lobby', 'signal SIGSEGV', '_demo_hang_forever', 'frontend@127.0.0.1', 'lobby/match'],
  'day.html': ['lobby', 'market', 'quarantined', 'Script line:', 'res://world.gd:214', 'cannot be reached', 'restart by ann'],
  'hostile.html': ["<script>alert('x')</script>", 'denied'],
  'empty.html': ['No sidekick is known yet', 'No crash is known', 'Nothing needs attention'],
  'large.html': ['2 000'.replace(' ', '\u202f'), 'zone_10'],
};

async function open(browser, file, size, colorScheme) {
  const context = await browser.newContext({ viewport: size, colorScheme, bypassCSP: false });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error in the page: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && request.url() !== pathToFileURL(file).href) faults.push(`it loads ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href, { waitUntil: 'load' });
  return { context, page, faults };
}

// What only a laid-out page shows. Runs in the page.
function layout(wanted) {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll('body *')].filter((e) => {
      const inScroller = e.closest('.scroll, pre');
      return !inScroller && e.getBoundingClientRect().right > root.clientWidth + 1;
    });
    faults.push(`the page is wider than the window: ${wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 80)).join(' | ')}`);
  }
  const found = [...document.querySelectorAll('h2')].map((e) => e.textContent);
  if (found.join() !== wanted.headings.join()) faults.push(`its headings are ${found.join(', ')}`);
  const text = document.body.innerText;
  for (const words of wanted.words) if (!text.includes(words)) faults.push(`it does not show ${JSON.stringify(words)}`);
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption || !table.caption.textContent) faults.push('a table has no caption');
    const columns = table.tHead.rows[0].cells.length;
    for (const row of table.tBodies[0].rows) if (row.cells.length !== columns) faults.push(`a row of "${table.caption.textContent}" has ${row.cells.length} of ${columns} cells`);
  }
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    if (!document.getElementById(link.getAttribute('href').slice(1))) faults.push(`the link ${link.getAttribute('href')} leads nowhere`);
  }
  if (document.querySelectorAll('script, iframe, object, embed, form, [onclick], [onerror], [onmouseover], [onload]').length) {
    faults.push('it holds an element or attribute that could run something');
  }
  return faults;
}

// axe runs in the page's own world, and is not part of it: the page's policy would refuse it as it should.
async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const source = fs.readFileSync(axe, 'utf8');
  const run = `${source}; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    .then((r) => r.violations.map((v) => v.id + ': ' + v.help + ' (' + v.nodes.length + '): ' + v.nodes[0].target + ' ' + v.nodes[0].failureSummary))`;
  const answer = await session.send('Runtime.evaluate', { expression: run, awaitPromise: true, returnByValue: true });
  if (answer.exceptionDetails) throw new Error(`axe-core did not run: ${answer.exceptionDetails.exception.description}`);
  return answer.result.value;
}

// A check that cannot fail proves nothing: this page has one fault of each kind.
async function control(browser, pictures) {
  const file = path.join(pictures, 'control.html');
  fs.writeFileSync(file, '<!DOCTYPE html><html><title></title><h2>X</h2><p style="color:#ccc;width:3000px">pale</p><img src="none.png"><script>console.error("x")</script></html>');
  const { context, page, faults } = await open(browser, file, sizes[0], 'light');
  const wrong = [...faults, ...(await page.evaluate(layout, { headings, words: ['absent'] }))];
  const found = await violations(page);
  await context.close();
  for (const kind of ['console:', 'it loads', 'wider than', 'its headings', 'does not show', 'could run']) {
    if (!wrong.some((fault) => fault.includes(kind))) throw new Error(`the check does not notice: ${kind}`);
  }
  if (!found.some((v) => v.startsWith('color-contrast')) || !found.some((v) => v.startsWith('html-has-lang'))) throw new Error('axe-core notices nothing');
}

async function main([pictures, ...files]) {
  const browser = await chromium.launch({ executablePath: process.env.SIDEKICK_BROWSER, chromiumSandbox: false });
  let passed = 0;
  let failed = 0;
  try {
    await control(browser, pictures);
    passed += 1;
    for (const file of files) {
      for (const size of sizes) {
        for (const scheme of schemes) {
          const name = path.basename(file);
          const { context, page, faults } = await open(browser, file, size, scheme);
          const words = expected[name] || [];
          const wrong = [...faults, ...(await page.evaluate(layout, { headings, words }))];
          // Two thousand rows are one row two thousand times: axe-core takes a minute for them, so it looks at them once.
          if (name !== 'large.html' || (size === sizes[0] && scheme === schemes[0])) wrong.push(...(await violations(page)));
          // The top is enough to look at; a software renderer takes long for tens of thousands of pixels.
          const height = Math.min(await page.evaluate(() => document.documentElement.scrollHeight), 5000);
          const picture = path.join(pictures, `${path.basename(name, '.html')}-${size.width}-${scheme}.png`);
          await page.screenshot({ path: picture, clip: { x: 0, y: 0, width: size.width, height }, fullPage: true });
          await context.close();
          console.log(`  ${wrong.length ? 'FAILED ' : 'ok     '} ${name} at ${size.width} px, ${scheme}`);
          for (const fault of wrong) console.log(`    | ${fault}`);
          if (wrong.length) failed += 1;
          else passed += 1;
        }
      }
    }
  } finally {
    await browser.close();
  }
  console.log(`${passed} passed, ${failed} failed, 0 skipped`);
  return failed ? 1 : 0;
}

main(process.argv.slice(2)).then((status) => process.exit(status), (error) => {
  console.error(error);
  process.exit(1);
});
