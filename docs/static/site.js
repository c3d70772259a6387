// What scrolls by itself can be reached and scrolled by keyboard; the two side bars have names of their own,
// and the empty corner of a table is no title.
const reachable = () => {
    for (const block of document.querySelectorAll("pre, .table-wrapper, .output.text_html, .math")) {
        if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
        else block.removeAttribute("tabindex");
    }
};
addEventListener("load", reachable);
addEventListener("resize", reachable);
document.addEventListener("DOMContentLoaded", () => {
    for (const [name, label] of [["sidebar", "pages"], ["toc", "on this page"]]) {
        document.querySelector(`.${name}-drawer`)?.setAttribute("aria-label", label);
    }
    for (const head of document.querySelectorAll("th")) if (!head.textContent.trim()) head.setAttribute("role", "cell");
});
// What is found is quoted as text, in which a formula would be its TeX source, cut off somewhere.
document.addEventListener("DOMContentLoaded", () => {
    if (typeof Search === "undefined") return;
    const textOf = Search.htmlToText;
    Search.htmlToText = (page, anchor) => {
        const read = new DOMParser().parseFromString(page, "text/html");
        for (const formula of read.querySelectorAll(".math")) formula.textContent = "…";
        return textOf(read.documentElement.outerHTML, anchor);
    };
});
