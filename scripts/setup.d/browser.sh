# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: Chromium without a window, and what drives it: playwright-core and axe-core from npm, at the versions and hashes of
# scripts/browser/package-lock.json (only with --browser). The browser is Debian's; playwright-core brings none.

browser_title='Chromium with playwright-core and axe-core'
browser_recipe="1 $(sha256sum <"$here/browser/package-lock.json" | cut -c1-12)"
browser_suite=trixie
browser_package=chromium-headless-shell

# Which browser of the machine's a playwright-core of one version can drive is a guess, so the tested one is taken.
browser_machine() {
    WHY[browser]='the tested pair is always taken'
    return 1
}

browser_prefix_version() {
    local version=${1##*/browser-"$browser_suite"-}
    printf 'Chromium %s\n' "${version%%[!0-9.]*}"
}

browser_build() {
    local tree=$1 out=$2 final=$3
    # Nothing is drawn by a graphics card, so no driver is needed: mesa and LLVM would double the size.
    debs_unpack_closure trixie "$tree" '^(lib|zlib1g$|chromium|fonts-dejavu-(core|mono)$|fontconfig-config$)' '^lib(llvm|z3|gl1-mesa|glx-mesa)' \
        chromium-headless-shell fonts-dejavu-core fonts-dejavu-mono
    mkdir -p "$out/usr/lib" "$out/usr/share/fonts" "$out/bin"
    mv "$tree/usr/lib/chromium" "$out/usr/lib/chromium"
    rm -f "$out"/usr/lib/chromium/{libVk*,*.TOC}
    mv "$tree/usr/share/fonts/truetype" "$out/usr/share/fonts/"
    cat >"$out/fonts.conf" <<CONF
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$final/usr/share/fonts</dir>
  <cachedir>$final/fontcache</cachedir>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
CONF
    # The cryptography that NSS loads at run time, which no list of needed libraries names.
    prefix_libraries "$tree" "$out" libsoftokn3.so libfreebl3.so libfreeblpriv3.so libnssckbi.so
    prefix_patch "$out" "$final"
    cp "$here/browser/package.json" "$here/browser/package-lock.json" "$out/"
    note "npm ci: playwright-core and axe-core"
    (cd "$out" && PATH="$(node_path)" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$WORK/npm.log" 2>&1) || {
        tail -n 12 "$WORK/npm.log" | sed 's/^/    | /' >&2
        die 'npm could not fetch playwright-core and axe-core (see above)'
    }
}

# The search path with the node that setup found.
node_path() {
    if [[ ${FROM[node]:-} == prefix ]]; then printf '%s' "${AT[node]}/bin:$PATH"; else printf '%s' "$PATH"; fi
}

browser_program() { printf '%s/usr/lib/chromium/chromium-headless-shell' "$1"; }

browser_verify() {
    local prefix=$1 said
    said=$(cd "$prefix" && PATH="$(node_path)" FONTCONFIG_FILE=$prefix/fonts.conf timeout 60 node -e '
        const { chromium } = require("playwright-core");
        (async () => {
            const browser = await chromium.launch({ executablePath: process.argv[1], chromiumSandbox: false });
            const page = await browser.newPage();
            await page.setContent("<h1>it draws</h1>");
            console.log(await page.textContent("h1"), (await page.screenshot()).length > 1000);
            await browser.close();
        })();' "$(browser_program "$prefix")" 2>&1) || true
    [[ $said == *'it draws true'* ]] && return
    printf '%s\n' "$said" >&2
    return 1
}

browser_exports() {
    export_line SIDEKICK_BROWSER "$(browser_program "${AT[browser]}")"
    export_line FONTCONFIG_FILE "${AT[browser]}/fonts.conf"
    export_line SIDEKICK_BROWSER_DIR "${AT[browser]}"
}
